// Families of recipes that differ in one choice: what a sweep compares.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::study {

/// What is varied:
///   tile       the scale group of Q and K: token, tiles (3,4,4) to (24,32,32), tensor
///   window     the mask's window in tiles
///   p          P's multiplier: 1, 16, 256, 448
///   promotion  keys between promotions of the P V accumulator: 32, 64, 128, never
///   scale      the format of the scales of Q, K and V, and the exponents' rule of OCP MX
/// and, of recipes with a backward:
///   p_in_dv    P as dV reads it: bf16, E4M3 times 1 and 448, E4M3 and INT8 with a scale a block
///   do         dO: bf16, E4M3, E5M2 and INT8 with a scale a block
///   ds         dS likewise
///   delta      the output that delta sums
enum class SweepAxis { tile, window, p, promotion, scale, p_in_dv, d_o, ds, delta };
std::string_view to_string(SweepAxis axis);
/// Whether it edits what gradients alone depend on.
constexpr bool edits_backward(SweepAxis axis) { return axis >= SweepAxis::p_in_dv; }
/// @throws Error(usage) naming the choices
SweepAxis parse_sweep_axis(std::string_view name);

/// Edits of `base`, named BASE:AXIS=VALUE; those without meaning for it are left out.
std::vector<recipe::Recipe> sweep(const recipe::Recipe& base, SweepAxis axis);

struct SweptValue {
  SweepAxis axis;
  std::string value;
};
/// What sweep() varied, by the name it gave; nothing for recipes of other names.
std::optional<SweptValue> swept_value(std::string_view recipe_name);

}  // namespace karat::study
