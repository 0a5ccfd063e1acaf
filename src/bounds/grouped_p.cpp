// Both ends of a scale, then both ends of the codes under it.
#include "grouped_p.hpp"

#include <algorithm>
#include <limits>

#include "karat/attention/operations/probability.hpp"
#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::bounds {
namespace {

using numerics::FormatId;
using quant::Enters;

/// Groups of tiny values have scale 1, which is no end of an interval: each case stands alone.
struct Scales {
  Interval grown;    ///< of groups whose scale follows from amax
  bool one = false;  ///< scale 1 is legal besides
};

/// The smallest scale that is not 0.
float smallest_scale(const quant::Rule& rule) {
  return rule.scale == quant::ScaleFormat::e4m3 ? 0x1p-9f : std::numeric_limits<float>::min();
}

Scales scales_of(const quant::Rule& rule, float amax_low, float amax_high) {
  const float low = quant::scale_of(amax_low, rule), high = quant::scale_of(amax_high, rule);
  if (low <= high) return {{low, high}};
  return {{std::min(smallest_scale(rule), high), high}, true};
}

float rounded(float x, FormatId format, numerics::Policy policy, std::uint32_t random = 0) {
  return numerics::decode(numerics::encode(x, format, policy, random), format);
}

/// What is read of P in a column, its code under scale s_code, its value under s.
float value(const quant::Rule& rule, std::size_t column, float p, float s_code, float s) {
  const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  const float code = rounded(numerics::flush_subnormal(p / s_code), rule.format, policy,
                             stochastic ? numerics::random_bits(0, 0, column) : 0);
  if (rule.enters == Enters::codes) return code;
  return rounded(numerics::flush_subnormal(code * s), FormatId::bf16,
                 quant::cast_policy(FormatId::bf16));
}

}  // namespace

Interval cast_groups(const Kernel& kernel, std::span<float> low, std::span<float> high) {
  const quant::Rule& rule = kernel.p_rule;
  const std::size_t width = rule.group == quant::Group::channels_16 ? 16 : low.size();
  Interval scale = 1.0f;
  for (std::size_t begin = 0; begin < low.size(); begin += width) {
    const std::size_t end = std::min(begin + width, low.size());
    float amax_low = 0, amax_high = 0;
    for (std::size_t n = begin; n < end; ++n) {
      amax_low = std::max(amax_low, low[n]);
      amax_high = std::max(amax_high, high[n]);
    }
    const auto [s, one] = scales_of(rule, amax_low, amax_high);
    if (kernel.p_scaled_by_rows) scale = one ? hull(s, 1.0f) : s;
    for (std::size_t n = begin; n < end; ++n) {
      Interval read{value(rule, n, low[n], s.high, s.low), value(rule, n, high[n], s.low, s.high)};
      if (one) read = hull(read, {value(rule, n, low[n], 1, 1), value(rule, n, high[n], 1, 1)});
      low[n] = read.low;
      high[n] = read.high;
    }
  }
  return scale;
}

}  // namespace karat::bounds
