// Private: what ptxas does to products that go into sums.
#pragma once

#include <cstdint>

#include "parse/syntax.hpp"

namespace karat::ptx {

/// Rewrites the function's body; docs/run.md, "What mul and add become", states the rule.
/// @return how many sums became fused ones
std::uint64_t fuse_products(Function& function);

}  // namespace karat::ptx
