// ex2.approx.ftz.f32 (MUFU.EX2) as a structure: a quadratic interpolator in fixed point whose
// coefficients the caller passes. The vendor publishes no bits and none were captured here, so
// results are unproven; the structure follows Oberman and Siu (ARITH-17, 2005).
#pragma once

#include <array>
#include <cstdint>

namespace karat::numerics {

/// One of 64 intervals of the fraction: 2^f is about (c0 + c1 * t + c2 * t^2), t in [0, 1) the
/// position inside the interval.
struct Ex2Coefficients {
  std::int64_t c0, c1, c2;
};

/// Coefficients and the widths the unit works with. With t17 the low 17 of 23 fraction bits:
///   square = t17^2 >> square_shift
///   sum    = (c0 << c0_shift) + c1 * t17 + (c2 * square >> c2_shift) + constant
///   result = 1.fraction = sum >> sum_shift, an integer in [2^23, 2^24)
struct Ex2Table {
  std::array<Ex2Coefficients, 64> coefficients;
  int square_shift;
  int c0_shift;
  int c2_shift;
  std::int64_t constant;
  int sum_shift;
};

/// 2^x as the unit computes it from `table`. Special values as published: subnormal x counts as
/// zero, +-0 -> 1, -Inf -> +0, +Inf -> +Inf, NaN -> 0x7FFFFFFF; results below 2^-126 -> +0, from
/// 2^128 on -> +Inf. x is cut toward -Inf to fixed point 7.23 first.
float ex2_approx_ftz(float x, const Ex2Table& table);

/// A table fitted to 2^f alone, for work that needs the unit's granularity (not its bits): 64
/// quadratics through the ends and the middle of each interval. Results within 2 ulp.
const Ex2Table& fitted_ex2_table();

}  // namespace karat::numerics
