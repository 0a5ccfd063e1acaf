// What a kernel may do differently, by the names that people give: --allow and reports use them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "karat/bounds/bounds.hpp"

namespace karat::bounds {

/// Opens what "order" (of the row sum and of f32.fma's P V), "contraction" (fused multiply-adds) or
/// "reciprocal" (1/l within 1 ulp) names.
/// @param subject what was given the name, for the error
/// @throws Error(usage) for another name, suggesting the nearest
void allow(Freedom& freedom, std::string_view name, const std::string& subject);

struct Liberty {
  std::string name;   ///< as allow() takes it, or "exp2"
  std::string words;  ///< "exp2 within 2 ulp"
};
/// Everything that is open.
std::vector<Liberty> liberties(const Freedom& freedom);

}  // namespace karat::bounds
