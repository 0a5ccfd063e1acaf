// The kernel's f32 operations on intervals of legal values. Rounding to nearest is monotone, so the
// ends of an interval go through the kernel's own roundings and need no widening.
#pragma once

#include <cmath>
#include <limits>

#include "karat/numerics/exp2.hpp"

namespace karat::golden {

struct Interval {
  float low = 0;
  float high = 0;
  bool point() const { return low == high; }
};

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

}  // namespace karat::golden
