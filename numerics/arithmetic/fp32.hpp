// The f32 operations of a kernel, one rounding each, on numbers and on intervals of them.
// Rounding to nearest is monotone, so the ends of an interval go through the operation itself and
// need no widening.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::numerics {

/// All f32 numbers from low to high, both included. NaN where both ends are.
struct Interval {
  constexpr Interval() = default;
  constexpr Interval(float x) : low(x), high(x) {}
  constexpr Interval(float from, float to) : low(from), high(to) {}
  bool is_point() const { return low == high; }

  float low = 0;
  float high = 0;
};

/// The smallest interval around both.
inline Interval hull(Interval a, Interval b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

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

/// Operations of one kernel. Results below the smallest normal number become zeros of their sign,
/// unless the kernel keeps them. An operand in f64 may hold an f32 value (the result is the same,
/// because rounding the 53-bit product or sum of two 24-bit numbers again to 24 bits is innocuous)
/// or a value that no f32 holds, which is then rounded once, with the result.
struct Fp32 {
  Subnormals subnormals = Subnormals::flush;

  float flushed(float x) const { return subnormals == Subnormals::flush ? flush_subnormal(x) : x; }
  float round(std::floating_point auto x) const { return flushed(static_cast<float>(x)); }
  float multiply(std::floating_point auto a, std::floating_point auto b) const {
    return round(a * b);
  }
  float add(std::floating_point auto a, std::floating_point auto b) const { return round(a + b); }
  float divide(float a, float b) const { return round(a / b); }
  /// a*b + c in one rounding; with an exact b, in f64 first.
  float fused(float a, float b, float c) const { return round(std::fma(a, b, c)); }
  float fused(float a, double b, std::floating_point auto c) const {
    return round(std::fma(double{a}, b, double{c}));
  }

  Interval round(Interval x) const { return {round(x.low), round(x.high)}; }
  Interval add(Interval a, Interval b) const { return {add(a.low, b.low), add(a.high, b.high)}; }
  /// x times a factor that is not negative.
  Interval multiply(Interval x, Interval factor) const {
    return {multiply(x.low, std::signbit(x.low) ? factor.high : factor.low),
            multiply(x.high, std::signbit(x.high) ? factor.low : factor.high)};
  }
  Interval fused(Interval x, Interval factor, Interval c) const {
    return {fused(x.low, std::signbit(x.low) ? factor.high : factor.low, c.low),
            fused(x.high, std::signbit(x.high) ? factor.low : factor.high, c.high)};
  }
};

/// x*factor + c, not fused and fused: what operations that kernels may fuse are given.
struct SeparateRoundings {
  template <typename X, typename Factor, typename C>
  auto operator()(const Fp32& fp, X x, Factor factor, C c) const {
    return fp.add(fp.multiply(x, factor), c);
  }
};

struct OneRounding {
  template <typename X, typename Factor, typename C>
  auto operator()(const Fp32& fp, X x, Factor factor, C c) const {
    return fp.fused(x, factor, c);
  }
};

}  // namespace karat::numerics
