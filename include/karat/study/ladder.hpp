// The error ladder: a recipe taken apart into its sources of error, each of them a recipe edit.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::study {

/// Where an error comes from, in the order the ladder adds them. The mask stays in every rung.
enum class Part {
  qk,           ///< codes and scales of Q and K, smoothing, rotation
  score_scale,  ///< scales and d^-1/2 left out of the scores
  p,            ///< codes of P, its multiplier, lazy rescaling, skipped blocks
  v,            ///< codes and scales of V
  accumulator,  ///< the tensor core's instructions
  exp2,         ///< how 2^x is computed
  reciprocal,   ///< how 1/l is computed: fl(1/l) is a recipe's one choice so far, below 2^-24
  output,       ///< the output's format and where it is cast
};

struct PartRow {
  Part part;
  std::string_view name;     ///< "qk"
  std::string_view meaning;  ///< one line
};
/// All parts in order.
std::span<const PartRow> parts();
std::string_view to_string(Part part);

/// The recipe with every part turned back to exact: f32 operands, products and sums in f64, exact
/// exponentials, f32 output. Mask, order of tokens and keys, and blocks stay.
recipe::Recipe without_errors(const recipe::Recipe& recipe);

/// `base` with one part as `recipe` has it. An operand that is not coded yet keeps the instruction
/// exact, so parts can be put back in any order and any subset.
recipe::Recipe with_part(recipe::Recipe base, const recipe::Recipe& recipe, Part part);

struct Rung {
  Part part;              ///< what this rung adds
  recipe::Recipe recipe;  ///< all parts up to this one
};
/// One rung per part in which the recipe differs from without_errors(); the last rung's recipe
/// equals the given one in every field that decides bits.
std::vector<Rung> ladder(const recipe::Recipe& recipe);

/// The same kernel on every pair of tokens: mask.kind none, order of tokens and blocks as they are.
recipe::Recipe without_mask(recipe::Recipe recipe);

}  // namespace karat::study
