// Both ends of a scale, then both ends of the codes under it.
#include "coded_group.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::bounds {
namespace {

using numerics::FormatId;
constexpr float kLargest = std::numeric_limits<float>::max();

float rounded(float x, FormatId format, numerics::Policy policy, std::uint32_t random = 0) {
  return numerics::decode(numerics::encode(x, format, policy, random), format);
}

/// The smallest scale that is not 0.
float smallest_scale(const quant::Rule& rule) {
  return rule.scale == quant::ScaleFormat::e4m3 ? 0x1p-9f : std::numeric_limits<float>::min();
}

/// Scale 1 stands for 0: amax alone would give less.
bool too_small(const quant::Rule& rule, float amax) {
  const float limit = rule.limit > 0 ? rule.limit : quant::largest_finite(rule.format);
  return amax < limit / 2 && quant::scale_of(amax, rule) == 1;
}

/// The smallest interval around both; an end that is NaN lies beyond all others.
Interval around(Interval a, Interval b) {
  return {std::isnan(b.low) ? b.low : std::min(a.low, b.low),
          std::isnan(b.high) ? b.high : std::max(a.high, b.high)};
}

/// Ends of code*scale, each by its sign.
struct Product {
  float code, scale;
};
Product least(Interval code, Interval scale) {
  return {code.low, code.low < 0 ? scale.high : scale.low};
}
Product most(Interval code, Interval scale) {
  return {code.high, code.high < 0 ? scale.low : scale.high};
}

}  // namespace

CodedGroup::CodedGroup(const quant::Rule& rule, Interval amax) : rule_(rule) {
  const bool one = too_small(rule, amax.low);
  Interval s{quant::scale_of(amax.low, rule), quant::scale_of(amax.high, rule)};
  const auto step = [&](float of, float scale) { return quant::code_step(of, scale, rule); };
  if (!one || amax.is_point()) {
    cases_ = {{s, step(amax.low, s.low), step(amax.high, s.high)}};
    return;
  }
  const bool follows = rule.code_rule != quant::CodeRule::inverse_scale;
  const quant::CodeStep largest{false, kLargest};  // M/amax of amax near 0
  const quant::CodeStep unscaled{false, follows ? 1 : std::min(1.0f, step(amax.high, 1).operand)};
  cases_ = {{1.0f, follows ? unscaled : largest, unscaled}};
  if (too_small(rule, amax.high)) return;
  s.low = std::min(smallest_scale(rule), s.high);
  cases_.push_back({s, follows ? step(amax.low, s.low) : largest, step(amax.high, s.high)});
}

float CodedGroup::coded(float x, quant::CodeStep step, std::uint32_t random) const {
  return rounded(operand(x, step), rule_.format,
                 {.rounding = rule_.rounding, .overflow = rule_.overflow}, random);
}

Interval CodedGroup::code(const Case& of, Interval x, std::uint32_t random) const {
  return {coded(x.low, x.low < 0 ? of.fine : of.coarse, random),
          coded(x.high, x.high < 0 ? of.coarse : of.fine, random)};
}

Interval CodedGroup::code(Interval x, std::uint32_t random) const {
  Interval range = code(cases_.front(), x, random);
  for (const Case& of : cases_) range = around(range, code(of, x, random));
  return range;
}

Interval CodedGroup::value(Interval x, float unit, std::uint32_t random) const {
  const auto of = [&](const Case& each) {
    const Interval range = code(each, x, random);
    const auto [low, at_low] = least(range, each.scale);
    const auto [high, at_high] = most(range, each.scale);
    return Interval{
        numerics::rounded_down(static_cast<double>(low) * static_cast<double>(at_low) / unit),
        numerics::rounded_up(static_cast<double>(high) * static_cast<double>(at_high) / unit)};
  };
  Interval range = of(cases_.front());
  for (const Case& each : cases_) range = around(range, of(each));
  return range;
}

Interval CodedGroup::dequantised(Interval x, std::uint32_t random) const {
  const auto bf16 = [](Product of) {
    return rounded(numerics::flush_subnormal(of.code * of.scale), FormatId::bf16,
                   quant::cast_policy(FormatId::bf16));
  };
  const auto of = [&](const Case& each) {
    const Interval range = code(each, x, random);
    return Interval{bf16(least(range, each.scale)), bf16(most(range, each.scale))};
  };
  Interval range = of(cases_.front());
  for (const Case& each : cases_) range = around(range, of(each));
  return range;
}

void CodedGroup::operands(std::span<float> low, std::span<float> high) const {
  const quant::CodeStep coarse = cases_.front().coarse, fine = cases_.front().fine;
  for (float& x : low) x = operand(x, coarse);
  for (float& x : high) x = operand(x, fine);
}

void CodedGroup::products(std::span<float> low, std::span<float> high) const {
  const Interval scale = cases_.front().scale;
  for (float& code : low) code = numerics::flush_subnormal(code * scale.low);
  for (float& code : high) code = numerics::flush_subnormal(code * scale.high);
}

Interval CodedGroup::scale() const {
  Interval range = cases_.front().scale;
  for (const Case& each : cases_) range = around(range, each.scale);
  return range;
}

}  // namespace karat::bounds
