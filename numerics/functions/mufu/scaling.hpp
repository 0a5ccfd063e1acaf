// What PTX instructions multiply arguments by before the special-function unit sees them.
#pragma once

#include <cmath>

namespace karat::numerics {

/// Of rcp.approx.f32 and of both operands of div.full.f32, so that the unit's subnormals play no
/// part: 1/4 above 2^126, 2^24 below 2^-126, else 1. Read in the machine code of ptxas 12.9
/// to 13.4.
inline float reciprocal_scale(float x) {
  const float magnitude = std::fabs(x);
  return magnitude > 0x1p126f ? 0.25f : magnitude < 0x1p-126f ? 0x1p24f : 1.0f;
}

}  // namespace karat::numerics
