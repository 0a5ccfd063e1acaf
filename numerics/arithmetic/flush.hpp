// f32 arithmetic the way GPU kernels built with -ftz=true see it, and the reciprocal.
// FADD, FMUL and FFMA are IEEE nearest-even; subnormal inputs and results become signed zeros.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "karat/numerics/functions/exp2.hpp"

namespace karat::numerics {

/// A subnormal becomes a zero of its sign; everything else stays, NaN payloads included.
inline float flush_subnormal(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits & 0x7F800000) ? x : std::bit_cast<float>(bits & 0x80000000);
}

inline float add_ftz(float a, float b) {
  return flush_subnormal(flush_subnormal(a) + flush_subnormal(b));
}
inline float multiply_ftz(float a, float b) {
  return flush_subnormal(flush_subnormal(a) * flush_subnormal(b));
}
/// a * b + c with one rounding; the flush sees the rounded result.
inline float fma_ftz(float a, float b, float c) {
  return flush_subnormal(std::fma(flush_subnormal(a), flush_subnormal(b), flush_subnormal(c)));
}

/// 1/x correctly rounded (IEEE division); +-0 -> +-Inf, +-Inf -> +-0, NaN -> NaN. With `flush`,
/// subnormal x counts as zero and a subnormal result (|x| > 2^126) becomes zero.
inline float reciprocal_rounded(float x, Subnormals subnormals = Subnormals::flush) {
  if (subnormals == Subnormals::keep) return 1.0f / x;
  return flush_subnormal(1.0f / flush_subnormal(x));
}

}  // namespace karat::numerics
