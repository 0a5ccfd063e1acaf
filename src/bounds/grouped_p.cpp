// Each group's range of scales, then the codes under it.
#include "grouped_p.hpp"

#include <algorithm>

#include "coded_group.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::bounds {

namespace {

struct Group {
  CodedGroup coded;
  std::size_t begin, end;
};

std::vector<Group> groups_of(const quant::Rule& rule, std::span<const float> low,
                             std::span<const float> high) {
  const std::size_t width = rule.group == quant::Group::channels_16 ? 16 : low.size();
  std::vector<Group> groups;
  for (std::size_t begin = 0; begin < low.size(); begin += width) {
    const std::size_t end = std::min(begin + width, low.size());
    Interval amax = 0.0f;
    for (std::size_t n = begin; n < end; ++n) {
      amax.low = std::max(amax.low, low[n]);
      amax.high = std::max(amax.high, high[n]);
    }
    groups.push_back({CodedGroup(rule, amax), begin, end});
  }
  return groups;
}

/// One value after the other.
void cast_group(const quant::Rule& rule, const Group& group, std::span<float> low,
                std::span<float> high) {
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  for (std::size_t n = group.begin; n < group.end; ++n) {
    const std::uint32_t random = stochastic ? numerics::random_bits(0, 0, n) : 0;
    const Interval p{low[n], high[n]};
    const Interval read = quant::leaves_scales(rule) ? group.coded.code(p, random)
                                                     : group.coded.dequantised(p, random);
    low[n] = read.low;
    high[n] = read.high;
  }
}

/// What whole rows may go through at once, the ends of all groups.
void cast_row(const quant::Rule& rule, const std::vector<Group>& groups, std::span<float> low,
              std::span<float> high) {
  const auto each = [&](auto change) {
    for (const Group& group : groups)
      (group.coded.*change)(low.subspan(group.begin, group.end - group.begin),
                            high.subspan(group.begin, group.end - group.begin));
  };
  const auto round = [&](numerics::FormatId format, numerics::Policy policy) {
    for (const std::span<float> ends : {low, high})
      attention::cast(ends, format, policy, numerics::Path::fast);
  };
  each(&CodedGroup::operands);
  round(rule.format, {.rounding = rule.rounding, .overflow = rule.overflow});
  if (quant::leaves_scales(rule)) return;
  each(&CodedGroup::products);
  round(numerics::FormatId::bf16, quant::cast_policy(numerics::FormatId::bf16));
}

}  // namespace

Interval cast_groups(const Kernel& kernel, std::span<float> low, std::span<float> high,
                     numerics::Path path) {
  const quant::Rule& rule = kernel.p_rule;
  const std::vector<Group> groups = groups_of(rule, low, high);
  const auto simple = [](const Group& group) { return group.coded.simple_ends(); };
  if (path == numerics::Path::fast && std::ranges::all_of(groups, simple))
    cast_row(rule, groups, low, high);
  else
    for (const Group& group : groups) cast_group(rule, group, low, high);
  return kernel.p_scaled_by_rows && !groups.empty() ? groups.back().coded.scale() : Interval(1.0f);
}

}  // namespace karat::bounds
