// Each group's range of scales, then the codes under it.
#include "grouped_p.hpp"

#include <algorithm>

#include "coded_group.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::bounds {

Interval cast_groups(const Kernel& kernel, std::span<float> low, std::span<float> high) {
  const quant::Rule& rule = kernel.p_rule;
  const std::size_t width = rule.group == quant::Group::channels_16 ? 16 : low.size();
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  Interval scale = 1.0f;
  for (std::size_t begin = 0; begin < low.size(); begin += width) {
    const std::size_t end = std::min(begin + width, low.size());
    float amax_low = 0, amax_high = 0;
    for (std::size_t n = begin; n < end; ++n) {
      amax_low = std::max(amax_low, low[n]);
      amax_high = std::max(amax_high, high[n]);
    }
    const CodedGroup group(rule, {amax_low, amax_high});
    if (kernel.p_scaled_by_rows) scale = group.scale();
    for (std::size_t n = begin; n < end; ++n) {
      const std::uint32_t random = stochastic ? numerics::random_bits(0, 0, n) : 0;
      const Interval p{low[n], high[n]};
      const Interval read =
          quant::leaves_scales(rule) ? group.code(p, random) : group.dequantised(p, random);
      low[n] = read.low;
      high[n] = read.high;
    }
  }
  return scale;
}

}  // namespace karat::bounds
