// Exponential, logarithm, sine and cosine in f64 as fixed sequences of IEEE operations: the same
// bits on every processor and compiler, where the C library picks variants. For values that get
// stored.
#pragma once

#include <bit>
#include <cstdint>
#include <numbers>
#include <utility>

namespace karat::numerics {

/// Nearest integer, ties to even, of |x| < 2^51: the sum has no bits left below 1.
inline double nearest_integer(double x) {
  constexpr double kShift = 0x1.8p52;
  return (x + kShift) - kShift;
}

inline constexpr double kLn2High = 0x1.62e42fefa38p-1;  // 11 low bits zero: times an exponent exact
inline constexpr double kLn2Low = 0x1.ef35793c7673p-45;  // ln 2 - high

struct SinCos {
  double sin;
  double cos;
};

/// sin and cos of 2*pi*x, |x| < 2^48. Absolute error below 2^-51; exact at multiples of a quarter.
///
/// x = n/4 + r exactly with |r| <= 1/8, so y = 2*pi*r lies in [-pi/4, pi/4], where the Taylor
/// polynomials below stop at terms under 2^-60.
inline SinCos sin_cos_turns(double x) {
  constexpr double kTwoPi = 6.283185307179586476925286766559;
  const double n = nearest_integer(4 * x);
  const double y = (x - 0.25 * n) * kTwoPi;
  const double z = y * y;
  double s = 1.0 / 355687428096000;  // 1/17!
  s = s * z - 1.0 / 1307674368000;   // 1/15!
  s = s * z + 1.0 / 6227020800;      // 1/13!
  s = s * z - 1.0 / 39916800;        // 1/11!
  s = s * z + 1.0 / 362880;          // 1/9!
  s = s * z - 1.0 / 5040;            // 1/7!
  s = s * z + 1.0 / 120;             // 1/5!
  s = s * z - 1.0 / 6;               // 1/3!
  s = y + y * (z * s);
  double c = 1.0 / 20922789888000;  // 1/16!
  c = c * z - 1.0 / 87178291200;    // 1/14!
  c = c * z + 1.0 / 479001600;      // 1/12!
  c = c * z - 1.0 / 3628800;        // 1/10!
  c = c * z + 1.0 / 40320;          // 1/8!
  c = c * z - 1.0 / 720;            // 1/6!
  c = c * z + 1.0 / 24;             // 1/4!
  c = c * z - 1.0 / 2;
  c = 1 + z * c;
  const auto quarter = static_cast<std::int64_t>(n);
  if (quarter & 1) std::swap(s, c);  // sin(y + pi/2) = cos(y), cos(y + pi/2) = -sin(y)
  return {quarter & 2 ? -s : s, (quarter + 1) & 2 ? -c : c};
}

/// Natural logarithm of a positive normal finite x. Relative error below 2^-50.
///
/// x = 2^e * m with m in [sqrt(1/2), sqrt(2)); ln m = 2*atanh(s), s = (m-1)/(m+1), |s| < 0.1716,
/// and the series in s^2 stops at a term under 2^-58.
inline double ln_f64(double x) {
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCDu;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto e = static_cast<std::int64_t>(bits - kSqrtHalf) >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<std::uint64_t>(e) << 52));
  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  double p = 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  const double twice = s + s;
  const double tail = twice * (z * p);
  const auto exponent = static_cast<double>(e);
  return exponent * kLn2High + (twice + (tail + exponent * kLn2Low));
}

/// e^x for |x| <= 700. Relative error below 2^-50.
///
/// x = n*ln 2 + r with |r| <= 0.3466, and the Taylor polynomial stops at a term under 2^-57.
inline double exp_f64(double x) {
  const double n = nearest_integer(x * std::numbers::log2e);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double p = 1.0 / 6227020800;  // 1/13!
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 1.0 / 2;
  p = 1 + (r + r * (r * p));
  const auto exponent = static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023);
  return p * std::bit_cast<double>(exponent << 52);
}

}  // namespace karat::numerics
