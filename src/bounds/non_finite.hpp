// Inf and NaN among intervals. An end that is NaN says that NaN is legal too, beyond every number
// on its side: [1, NaN] holds the numbers from 1, Inf and NaN; [Inf, NaN] those two; [NaN, NaN] NaN
// alone. What an operation cannot tell apart it gives away as "anything", never as too little.
#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "free_launch.hpp"
#include "karat/numerics/tensor_core/matrix_view.hpp"

namespace karat::bounds {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// Below this a kernel may flush a result or not; 2^-125 is above everything so small.
inline constexpr float kTiny = 0x1p-125f;
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr Interval kAnything{-kInfinity, kNan};

inline bool is_nan(Interval x) { return std::isnan(x.low) && std::isnan(x.high); }
inline bool is_finite(Interval x) { return std::isfinite(x.low) && std::isfinite(x.high); }
/// One value alone, be it NaN.
inline bool is_single(Interval x) { return x.is_point() || is_nan(x); }
/// Inf of one sign or NaN, whatever is added that is finite.
inline bool is_infinite(Interval x) {
  return is_nan(x) || x.low == kInfinity || x.high == -kInfinity;
}

/// times() where x has an end that is not finite and factor may be 0.
Interval times_infinite(Interval x, Interval factor);
/// fl(x*factor), factor not negative and finite.
inline Interval times(const numerics::Fp32& fp, Interval x, Interval factor) {
  if (is_finite(x) || is_nan(x) || factor.low > 0) return fp.multiply(x, factor);
  return times_infinite(x, factor);
}
/// fl(a + b).
Interval plus(const numerics::Fp32& fp, Interval a, Interval b);

/// What the products P*v of those keys add up to whose v is Inf or NaN: NaN, Inf of one sign, or
/// either where P may be 0. Finite products beside them change nothing. Nothing where all v are
/// finite.
/// @param v  keys x channels, key n with column first + n of p
std::optional<Interval> infinite_products(const RowP& p, std::size_t first,
                                          numerics::MatrixView<const float> v, std::size_t channel);

/// The number line of an accumulator, in which a sum past the largest value is Inf.
class SumRange {
 public:
  explicit SumRange(const numerics::Instruction& instruction);
  /// What a chain returns at least and at most whose sum, roundings and all, lies from `low` to
  /// `high`.
  Interval around(double low, double high) const { return {least(low), -least(-high)}; }
  /// The largest finite value. Up to it around() rounds outwards and no more.
  double largest() const { return largest_; }

 private:
  float least(double x) const {
    return std::abs(x) <= largest_ ? numerics::rounded_down(x) : beyond(x);
  }
  float beyond(double x) const;  ///< least() of what is no finite value, or NaN

  double largest_;   ///< finite value
  double overflow_;  ///< the power of two above it: from there on every rounding gives Inf
};

}  // namespace karat::bounds
