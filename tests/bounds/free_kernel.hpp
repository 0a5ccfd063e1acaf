// A kernel that takes every liberty a Freedom can open: legal exp2s, its own order of sums, fused
// multiply-adds, an approximate reciprocal. Written apart from the bounds.
#pragma once

#include <random>

#include "karat/bounds/bounds.hpp"
#include "perturbed_kernel.hpp"

namespace karat::bounds {

/// In which order a kernel walks its terms.
enum class Walk { shuffled, ascending_size, descending_size };

struct Liberties {
  Exp2 exp2;
  Freedom freedom;  ///< what may be used
  Walk walk = Walk::shuffled;
  std::size_t partial_sums = 1;  ///< at most; combined in random order at the end
};

/// Row `row` of a tapped query block. Recipes with multiplied P, product-first scales, no
/// smoothing; sums of tensor-core products stay as the recipe has them.
PerturbedRow run_free_row(const recipe::Recipe& recipe, const layout::Layout& layout,
                          const attention::QuantisedHead& head, const attention::BlockTap& tap,
                          std::size_t row, const Liberties& liberties, std::mt19937& random);

}  // namespace karat::bounds
