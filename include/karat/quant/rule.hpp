// How one operand (q, k or v) becomes codes and scales: every choice real kernels make differently.
// x = scale * code; amax is the exact maximum of |x| over a group.
#pragma once

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/formats/format.hpp"
#include "karat/video/grid.hpp"

namespace karat::quant {

/// Elements that share one scale; within one batch entry and head but for all_heads.
enum class Group {
  tensor,              ///< all tokens and channels
  all_heads,           ///< those of every batch entry and head
  tile,                ///< all channels of the tokens of one 3-D tile
  token,               ///< all channels of one token
  channel,             ///< one channel of all tokens
  tile_channel,        ///< one channel of the tokens of one 3-D tile
  rows,                ///< `rows` consecutive positions of a block (SageAttention per warp)
  rows_stride_8,       ///< within `rows` positions of a block those equal modulo 8
                       ///< (SageAttention2 per thread, Q: group i = {8k + i})
  row_pairs_stride_8,  ///< pairs likewise (K: group i = {8k + 2i, 8k + 2i + 1})
  block,               ///< all of one block
  channels_16,         ///< 16 consecutive channels of one token (NVFP4)
};

/// What the scale is rounded to: ue8m0_* are powers of two, not below, nearest (ties up), not
/// above; e4m3 saturates.
enum class ScaleFormat { f32, bf16, ue8m0_up, ue8m0_nearest, ue8m0_floor, e4m3 };

enum class ScaleRule {
  divide,    ///< s = fl(amax / M), M = limit, or the largest finite value (448)
  multiply,  ///< s = fl(amax * fl(1/M))
  exponent,  ///< s = 2^(floor(log2 amax) - floor(log2 M)) (OCP Microscaling 1.0, 6.3)
  given,     ///< code = RN(fl(x * multiplier)), s = fl(1/multiplier) (delayed scaling)
};

enum class CodeRule {
  divide,         ///< RN(fl(x / s))
  reciprocal,     ///< RN(fl(x * fl(1/s)))
  inverse_scale,  ///< RN(fl(x * fl(M/amax)))
};

/// What keeps a scale away from zero.
enum class Guard {
  one,         ///< a group whose scale would be 0 gets scale 1, and its codes are RN(x)
  floor_1e_7,  ///< amax = max(amax, 1e-7)
  add_1e_7,    ///< s = fl(s + 1e-7)
  floor_1e_4,  ///< amax = max(amax, 1e-4)
};

enum class Smooth {
  none,
  mean,  ///< subtract each channel's token mean first
};

enum class Rotate {
  none,
  hadamard,  ///< H*D*x/sqrt(d) per token: random signs D, Hadamard matrix H; leaves q.k unchanged
};

enum class SmoothMean { input_type, f32 };

/// What the tensor core reads of a coded operand.
enum class Enters {
  codes,  ///< the codes; their scales stay outside the product
  bf16,   ///< fl(code*scale) rounded to BF16: fake quantisation
};

/// Overflow of a cast to `format` where nothing is said: codes saturate, F16 and BF16 have an Inf.
constexpr numerics::Overflow usual_overflow(numerics::FormatId format) {
  const bool has_infinity = format == numerics::FormatId::f16 || format == numerics::FormatId::bf16;
  return has_infinity ? numerics::Overflow::infinity : numerics::Overflow::saturate;
}

struct Rule {
  numerics::FormatId format = numerics::FormatId::f32;  ///< f32, f16, bf16: no scale, a plain cast
  Group group = Group::tensor;
  video::Extent3 tile{6, 8, 8};  ///< the scale tile, for Group::tile and Group::tile_channel
  int rows = 32;                 ///< for the groups of rows; must divide the block's rows
  ScaleFormat scale = ScaleFormat::f32;
  ScaleRule scale_rule = ScaleRule::divide;
  CodeRule code_rule = CodeRule::divide;
  Guard guard = Guard::one;
  float limit = 0;  ///< the code magnitude that amax maps to; 0: the format's largest finite value
  float multiplier = 1;  ///< for ScaleRule::given
  Enters enters = Enters::codes;
  numerics::Rounding rounding = numerics::Rounding::nearest_even;
  numerics::Overflow overflow = numerics::Overflow::saturate;
  Smooth smooth = Smooth::none;
  SmoothMean smooth_mean = SmoothMean::input_type;
  Rotate rotate = Rotate::none;
  int rotate_seed = 0;  ///< of the random signs
};

/// True when codes of `format` carry a scale (FP8, INT8), false for plain casts (f32, f16, bf16).
bool has_scale(numerics::FormatId format);

/// Whether scales of a coded operand stay outside the product.
bool leaves_scales(const Rule& rule);

/// What the tensor core reads: rule.format, or bf16 where coded values enter dequantised.
numerics::FormatId entering_format(const Rule& rule);

}  // namespace karat::quant
