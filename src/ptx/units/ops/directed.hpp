// Private: f32 operations rounded toward zero, up or down, from sums that f64 holds in two parts.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace karat::ptx::units {

enum class Directed { zero, down, up };

/// hi + lo exactly, |lo| at most half an ulp of hi in f64, rounded to f32.
template <Directed kMode>
float round_directed(double hi, double lo) {
  float r = static_cast<float>(hi);
  if (std::isnan(r)) return r;
  if (std::isinf(hi)) return r;
  // r is the nearest f32, so its neighbours enclose the exact value.
  const double above = std::isinf(r) ? (r > 0 ? 1.0 : -1.0) : (static_cast<double>(r) - hi) - lo;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool toward_zero_down = kMode == Directed::zero && r > 0;
  const bool toward_zero_up = kMode == Directed::zero && r < 0;
  if (above > 0 && (kMode == Directed::down || toward_zero_down)) {
    r = std::nextafter(r, -kInfinity);
  } else if (above < 0 && (kMode == Directed::up || toward_zero_up)) {
    r = std::nextafter(r, kInfinity);
  }
  return r;
}

/// a * b + c with a * b exact in f64; an exact zero sum of opposite signs is -0 when rounding down.
template <Directed kMode>
float fma_directed(float a, float b, float c) {
  const double p = double{a} * b, z = c, s = p + z;
  if (s == 0) {
    if (p == 0 && z == 0 && std::signbit(p) == std::signbit(z)) return static_cast<float>(s);
    return kMode == Directed::down ? -0.0f : 0.0f;
  }
  if (!std::isfinite(s)) return static_cast<float>(s);
  const double t = s - p, lost = (p - (s - t)) + (z - t);
  return round_directed<kMode>(s, lost);
}

template <Directed kMode>
float mul_directed(float a, float b) {
  const double p = double{a} * b;
  return p == 0 || !std::isfinite(p) ? static_cast<float>(p) : round_directed<kMode>(p, 0);
}

template <Directed kMode>
float add_directed(float a, float b) {
  return fma_directed<kMode>(a, 1.0f, b);
}

}  // namespace karat::ptx::units
