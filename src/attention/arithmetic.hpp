// The f32 operations of a kernel: one rounding each, subnormal results flushed to signed zero
// unless the recipe keeps them. `double` arguments that hold f32 values give the f32 result,
// because rounding a 53-bit product or sum of two 24-bit numbers again to 24 bits is innocuous.
#pragma once

#include <cmath>
#include <limits>

#include "karat/numerics/functions/exp2.hpp"

namespace karat::attention {

struct Fp32 {
  numerics::Subnormals subnormals = numerics::Subnormals::flush;

  float round(double x) const { return flushed(static_cast<float>(x)); }
  float multiply(double a, double b) const { return round(a * b); }
  float add(double a, double b) const { return round(a + b); }
  float fused(float a, float b, float c) const { return flushed(std::fma(a, b, c)); }
  float flushed(float x) const {
    const bool subnormal = std::abs(x) < std::numeric_limits<float>::min();
    return subnormal && subnormals == numerics::Subnormals::flush ? std::copysign(0.0f, x) : x;
  }
};

}  // namespace karat::attention
