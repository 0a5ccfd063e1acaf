// A kernel that follows the recipe but for its exp2, which errs legally: within 2 ulp of 2^x.
// Written from docs/recipes, one row at a time, apart from the engine and from the bounds.
#pragma once

#include <functional>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::bounds {

/// Which legal result exp2 picks, given the argument.
using Exp2 = std::function<float(float x)>;

/// The legal result furthest in a direction: -1 lowest, +1 highest, 0 the rounded one.
float legal_exp2_at(float x, int direction);

/// One element of D by the real chain: a times b from `d`, or from nothing.
float chain_row(const numerics::Instruction& instruction, const std::vector<float>& a,
                const std::vector<float>& b, numerics::Start start, float d);

struct PerturbedRow {
  std::vector<float> p;  ///< as the PV instruction reads it, all visited columns
  float l = 0;
  std::vector<float> out;
};

/// Row `row` of a tapped query block from its scores and maxima. Recipes with the quad row sum,
/// multiplied P, product-first scales and no smoothing.
PerturbedRow run_row(const recipe::Recipe& recipe, const layout::Layout& layout,
                     const attention::QuantisedHead& head, const attention::BlockTap& tap,
                     std::size_t row, const Exp2& exp2);

}  // namespace karat::bounds
