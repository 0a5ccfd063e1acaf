// The kernel's f32 operations on intervals of legal values. Rounding to nearest is monotone, so the
// ends of an interval go through the kernel's own roundings and need no widening.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "karat/numerics/functions/exp2.hpp"

namespace karat::bounds {

struct Interval {
  float low = 0;
  float high = 0;
  bool point() const { return low == high; }
};

/// The largest f32 not above x; NaN for NaN. Without the C library's call: bounds are full of it.
inline float rounded_down(double x) {
  const auto y = static_cast<float>(x);
  if (!(y > x)) return y;
  if (y == 0) return -std::numeric_limits<float>::denorm_min();
  const auto bits = std::bit_cast<std::uint32_t>(y);
  return std::bit_cast<float>(std::signbit(y) ? bits + 1 : bits - 1);
}
/// The smallest f32 not below x.
inline float rounded_up(double x) { return -rounded_down(-x); }

struct Fp32 {
  numerics::Subnormals subnormals = numerics::Subnormals::flush;

  float flushed(float x) const {
    const bool tiny = std::abs(x) < std::numeric_limits<float>::min();
    return tiny && subnormals == numerics::Subnormals::flush ? std::copysign(0.0f, x) : x;
  }
  float multiply(float a, float b) const { return flushed(a * b); }
  float add(float a, float b) const { return flushed(a + b); }

  Interval add(Interval a, Interval b) const { return {add(a.low, b.low), add(a.high, b.high)}; }
  /// x times a factor that is not negative.
  Interval multiply(Interval x, Interval factor) const {
    return {multiply(x.low, std::signbit(x.low) ? factor.high : factor.low),
            multiply(x.high, std::signbit(x.high) ? factor.low : factor.high)};
  }
};

}  // namespace karat::bounds
