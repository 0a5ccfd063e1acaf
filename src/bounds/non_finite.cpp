// By the rules of IEEE 754: Inf - Inf and Inf*0 are NaN, NaN stays NaN.
#include "non_finite.hpp"

#include <algorithm>

#include "karat/numerics/formats/convert.hpp"

namespace karat::bounds {

Interval times_infinite(Interval x, Interval factor) {
  if (factor.high == 0 && is_infinite(x)) return {kNan, kNan};
  if (x.low == kInfinity) return {kInfinity, kNan};
  if (x.high == -kInfinity) return {kNan, -kInfinity};
  return kAnything;
}

Interval plus(const numerics::Fp32& fp, Interval a, Interval b) {
  const Interval sum = fp.add(a, b);
  if (is_finite(a) && is_finite(b)) return sum;
  if (is_nan(a) || is_nan(b)) return {kNan, kNan};
  const auto may_be_plus = [](Interval x) { return !(x.high < kInfinity); };
  const auto may_be_minus = [](Interval x) { return !(x.low > -kInfinity); };
  const bool may_clash = (may_be_plus(a) && may_be_minus(b)) || (may_be_minus(a) && may_be_plus(b));
  return may_clash && !(is_single(a) && is_single(b)) ? kAnything : sum;
}

std::optional<Interval> infinite_products(const RowP& p, std::size_t first,
                                          numerics::MatrixView<const float> v,
                                          std::size_t channel) {
  bool found = false, may_vanish = false, positive = false, negative = false;
  for (std::size_t n = 0; n < v.rows; ++n) {
    const float value = v(n, channel);
    if (std::isfinite(value)) continue;
    const float low = p.cast_low[first + n], high = p.cast_high[first + n];
    if (std::isnan(value) || std::isnan(low) || std::isnan(high) || high == 0)
      return Interval(kNan, kNan);
    found = true;
    may_vanish |= low == 0;
    (value > 0 ? positive : negative) = true;
  }
  if (!found) return std::nullopt;
  if (positive && negative) return Interval(kNan, kNan);
  const float infinity = positive ? kInfinity : -kInfinity;
  if (!may_vanish) return Interval(infinity);
  return positive ? Interval(infinity, kNan) : Interval(kNan, infinity);
}

SumRange::SumRange(const numerics::Instruction& instruction) {
  const numerics::Format& format = numerics::format(numerics::accumulator_format(instruction));
  largest_ = numerics::decode(format.max_finite(), format.id);
  overflow_ = std::exp2(std::ilogb(largest_) + 1);
}

float SumRange::beyond(double x) const {
  if (x >= overflow_) return kInfinity;
  if (x < -largest_) return -kInfinity;
  return numerics::rounded_down(std::min(x, largest_));
}

}  // namespace karat::bounds
