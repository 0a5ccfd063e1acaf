// Private: what ptxas does to products that go into sums.
#pragma once

#include <cstdint>

#include "parse/syntax.hpp"

namespace karat::ptx {

/// Rewrites the function's body; see Fuse in karat/ptx/launch.hpp for the rule. A product whose
/// operands are written again before the sum stays apart, and so does one under a guard.
/// @return how many sums became fused ones
std::uint64_t fuse_products(Function& function);

}  // namespace karat::ptx
