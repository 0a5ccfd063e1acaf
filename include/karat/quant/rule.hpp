// How one operand (q, k or v) becomes codes and scales: every choice real kernels make differently.
// x = scale * code; amax is the exact maximum of |x| over a group.
#pragma once

#include "karat/numerics/convert.hpp"
#include "karat/numerics/format.hpp"
#include "karat/video/grid.hpp"

namespace karat::quant {

/// Elements that share one scale, always within one batch entry and head.
enum class Group {
  tensor,   ///< all tokens and channels
  tile,     ///< all channels of the tokens of one 3-D tile
  token,    ///< all channels of one token
  channel,  ///< one channel of all tokens
};

enum class ScaleFormat { f32, bf16, ue8m0_up, ue8m0_nearest, ue8m0_floor };

enum class ScaleRule {
  divide,    ///< s = fl(amax / max), max = largest finite code (448)
  multiply,  ///< s = fl(amax * fl(1/max))
};

enum class CodeRule {
  divide,         ///< RN(fl(x / s))
  reciprocal,     ///< RN(fl(x * fl(1/s)))
  inverse_scale,  ///< RN(fl(x * fl(max/amax)))
};

/// What keeps a scale away from zero.
enum class Guard {
  one,         ///< a group whose scale would be 0 gets scale 1
  floor_1e_7,  ///< amax = max(amax, 1e-7)
  add_1e_7,    ///< s = fl(s + 1e-7)
  floor_1e_4,  ///< amax = max(amax, 1e-4)
};

enum class Smooth {
  none,
  mean,  ///< subtract each channel's token mean first
};

enum class SmoothMean { input_type, f32 };

struct Rule {
  numerics::FormatId format = numerics::FormatId::f32;  ///< f32, f16, bf16: no scale, a plain cast
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

}  // namespace karat::quant
