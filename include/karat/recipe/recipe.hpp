// The kernel as plain data: every operation and rounding that decides its bits.
// What each field means is docs/recipe.md; the JSON form is karat/recipe/json.hpp.
#pragma once

#include <optional>
#include <string>

#include "karat/mask/window.hpp"
#include "karat/numerics/convert.hpp"
#include "karat/numerics/exp2.hpp"
#include "karat/numerics/format.hpp"
#include "karat/video/token_order.hpp"

namespace karat::recipe {

enum class MaskKind { none, window };
struct Mask {
  MaskKind kind = MaskKind::none;
  video::Extent3 tile{6, 8, 8};  ///< also decides the token order; {1,1,1} keeps the original order
  video::Extent3 window{3, 3, 3};
  mask::Unit unit = mask::Unit::tiles;
  mask::Border border = mask::Border::clamp;
  mask::Centre centre = mask::Centre::query;
  video::Ragged ragged = video::Ragged::partial;
};

enum class Group { tensor, tile, token, channel };  ///< elements that share one scale (per batch, head)
enum class ScaleFormat { f32, bf16, ue8m0_up, ue8m0_nearest, ue8m0_floor };
enum class ScaleRule { divide, multiply };               ///< fl(amax/448) | fl(amax*fl(1/448))
enum class CodeRule { divide, reciprocal, inverse_scale };  ///< x/s | x*fl(1/s) | x*fl(448/amax)
enum class Guard { one, floor_1e_7, add_1e_7, floor_1e_4 };  ///< what an all-zero group gets
enum class Smooth { none, mean };       ///< subtract the token mean of each channel first
enum class SmoothMean { input_type, f32 };

struct Operand {
  numerics::FormatId format = numerics::FormatId::f32;  ///< f32: not quantised, values as given
  Group group = Group::tensor;
  video::Extent3 tile{6, 8, 8};  ///< the scale tile, for Group::tile
  ScaleFormat scale = ScaleFormat::f32;
  ScaleRule scale_rule = ScaleRule::divide;
  CodeRule code_rule = CodeRule::divide;
  Guard guard = Guard::one;
  numerics::Rounding rounding = numerics::Rounding::nearest_even;
  numerics::Overflow overflow = numerics::Overflow::saturate;
  Smooth smooth = Smooth::none;
  SmoothMean smooth_mean = SmoothMean::input_type;
};

enum class ScaleOrder { product_first, sequential, folded_into_q, fused };
enum class ScoreScale { applied, omitted };
struct Qk {
  std::string instruction = "f32.fma";
  ScaleOrder scale_order = ScaleOrder::product_first;
  ScoreScale score_scale = ScoreScale::applied;
};

enum class Exp2 { rounded, exact };  ///< correctly rounded to f32 | f64, not rounded until the next cast
enum class RowSum { unquantized, quantized };
enum class RowSumOrder { wgmma_quad, sequential, pairwise };
enum class Lse { natural, log2 };
struct Softmax {
  Exp2 exp2 = Exp2::rounded;
  float rescale_threshold = 0;          ///< log2 units; the old maximum stays while m' - m <= this
  std::optional<float> masked_score;    ///< empty: -inf
  std::optional<float> initial_max;     ///< empty: -inf
  RowSum row_sum = RowSum::unquantized;
  RowSumOrder row_sum_order = RowSumOrder::wgmma_quad;
  Lse lse = Lse::natural;
};

enum class PApply { multiply, exponent_offset };
struct P {
  numerics::FormatId format = numerics::FormatId::f32;
  float multiplier = 1;  ///< exponent_offset: must be given as 2^offset; the offset is log2 of it
  PApply apply = PApply::multiply;
  numerics::Rounding rounding = numerics::Rounding::nearest_even;
  numerics::Overflow overflow = numerics::Overflow::saturate;
};

struct Pv {
  std::string instruction = "f32.fma";
  int promote_every = 0;  ///< keys; 0 = never (the chain starts from the rescaled O)
};

enum class KeyOrder { ascending, descending, partial_then_full };
struct Block {
  int q = 64;
  int k = 128;
  video::Align align = video::Align::tile;
  KeyOrder order = KeyOrder::ascending;
};

enum class Reciprocal { rounded };
enum class FullyMasked { zero, mean_of_visited, nan };
struct Finish {
  Reciprocal reciprocal = Reciprocal::rounded;
  FullyMasked fully_masked = FullyMasked::zero;
};

struct Recipe {
  std::string name = "unnamed";
  Mask mask;
  Operand q, k, v;
  Qk qk;
  Softmax softmax;
  P p;
  Pv pv;
  Block block;
  Finish finish;
  numerics::FormatId output = numerics::FormatId::bf16;
  numerics::Subnormals subnormals = numerics::Subnormals::flush;
};

}  // namespace karat::recipe
