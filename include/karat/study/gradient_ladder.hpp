// The error ladder of the gradients: a recipe with a backward taken apart into its sources of
// error, each of them a recipe edit.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::study {

/// Where an error of dq, dk or dv comes from, in the order the ladder adds them. An operand that is
/// coded in the forward is coded there too: P is recomputed from what the forward read.
enum class GradientPart : std::uint8_t {
  q,                 ///< codes and scales of Q, and which q the backward's products read
  k,                 ///< of K, smoothing with it
  v,                 ///< of V
  delta,             ///< whose output delta sums: codes of P in the forward, its output's format
  p,                 ///< P as dV's product reads it
  d_o,               ///< dO as dV and dP read it
  ds,                ///< dS as dQ and dK read it
  accumulator,       ///< the tensor core's instructions, of the forward and of the five products
  functions,         ///< how 2^x, 1/l and the log-sum-exp are computed
  straight_through,  ///< gradients that a saturated code makes 0
  output,            ///< the format of dq, dk and dv, and what they are multiplied by before
};

/// Whether a part has a meaning without those before it.
enum class Stands {
  alone,
  as_step,  ///< it works on codes that others make: its share is the step from the rung before
};

struct GradientPartRow {
  GradientPart part;
  Stands stands;
  std::string_view name;     ///< "ds"
  std::string_view meaning;  ///< one line
};
/// All parts in order.
std::span<const GradientPartRow> gradient_parts();
const GradientPartRow& row_of(GradientPart part);
std::string_view to_string(GradientPart part);

/// The recipe with every part turned back to exact: f32 operands, sums in f64 that are rounded to
/// f32 behind each block, exact exponentials, f32 gradients. Mask, blocks, loops, orders, and where
/// factors enter stay. @pre the recipe has a backward
recipe::Recipe without_gradient_errors(const recipe::Recipe& recipe);

/// `base` with one part as `recipe` has it. Parts that stand alone can be put back in any order and
/// any subset.
recipe::Recipe with_gradient_part(recipe::Recipe base, const recipe::Recipe& recipe,
                                  GradientPart part);

struct GradientRung {
  GradientPart part;      ///< what this rung adds
  recipe::Recipe recipe;  ///< all parts up to this one
};
/// One rung per part in which the recipe differs from without_gradient_errors(); the last rung's
/// recipe equals the given one in every field that decides bits.
std::vector<GradientRung> gradient_ladder(const recipe::Recipe& recipe);

}  // namespace karat::study
