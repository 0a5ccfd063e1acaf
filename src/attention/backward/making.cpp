// Groups of 16 columns each have what their elements are divided by, or multiplied with; where a
// scale is shared by more, it stands there more than once.
#include "backward/making.hpp"

#include <algorithm>

#include "backward/loops.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::attention {
namespace {

using numerics::FormatId;
constexpr std::size_t kGroup = 16;

void round(std::span<const float> from, std::span<float> to, FormatId format,
           numerics::Policy policy, Lines<std::uint16_t>& scratch) {
  const std::span codes = scratch.first(from.size());
  numerics::encode(from, codes, format, policy);
  numerics::decode(codes, to, format);
}

const BackwardLoops& flushing() { return backward_loops(numerics::Subnormals::flush); }

}  // namespace

Making::Making(const BackwardVisit& v, const quant::Rule& rule, Lines<float>& from,
               Lines<float>& values, Lines<std::uint8_t>& codes)
    : v_(v), rule_(rule), from_(from), values_(values), codes_(codes) {}

Block Making::block(std::size_t first, std::size_t count) const {
  return {&from_[first * v_.stride()], count, v_.columns(), v_.stride()};
}

std::span<float> Making::maxima(std::size_t first, std::size_t count) {
  const std::span<float> found = v_.scratch.maxima.first(count * v_.stride() / kGroup);
  flushing().group_maxima(block(first, count), found);
  return found;
}

void Making::set_groups(std::span<const float> maxima) {
  for (std::size_t group = 0; group < maxima.size(); ++group) {
    const float scale = quant::scale_of(maxima[group], rule_);
    const quant::CodeStep step = quant::code_step(maxima[group], scale, rule_);
    divide_ = step.divide;
    v_.scratch.group_step[group] = step.operand;
    v_.scratch.group_scale[group] = scale;
  }
}

void Making::set_all(float amax, std::size_t groups) {
  const float scale = quant::scale_of(amax, rule_);
  const quant::CodeStep step = quant::code_step(amax, scale, rule_);
  divide_ = step.divide;
  std::ranges::fill(v_.scratch.group_step.first(groups), step.operand);
  std::ranges::fill(v_.scratch.group_scale.first(groups), scale);
  if (quant::leaves_scales(rule_)) made_.scale = scale;
}

void Making::code(std::size_t first, std::size_t count) {
  const std::size_t at = first * v_.stride(), size = count * v_.stride();
  const std::span<float> scaled = v_.scratch.x.first(size);
  const Block into{scaled.data(), count, v_.columns(), v_.stride()};
  const std::span<const float> step = v_.scratch.group_step.first(size / kGroup);
  if (divide_)
    flushing().divide_groups(block(first, count), step, into);
  else
    flushing().multiply_groups(block(first, count), step, into);
  made_.saturated +=
      static_cast<std::int64_t>(row_loops(numerics::Subnormals::flush)
                                    .count_above(scaled, quant::largest_finite(rule_.format)));
  const std::span<std::uint8_t> codes(&codes_[at], size);
  const std::span<float> to(&values_[at], size);
  numerics::encode(scaled, codes, rule_.format,
                   {.rounding = rule_.rounding, .overflow = rule_.overflow});
  numerics::decode(codes, to, rule_.format);
  if (rule_.enters == quant::Enters::codes) return;
  const Block made{to.data(), count, v_.columns(), v_.stride()};
  flushing().multiply_groups(made, v_.scratch.group_scale.first(size / kGroup), made);
  round(to, to, FormatId::bf16, quant::cast_policy(FormatId::bf16), v_.scratch.wide_codes);
}

void Making::rows(std::size_t first, std::size_t count) {
  if (kept()) return;
  const std::size_t at = first * v_.stride(), size = count * v_.stride();
  if (!coded())
    return round({&from_[at], size}, {&values_[at], size}, rule_.format,
                 {.rounding = rule_.rounding, .overflow = rule_.overflow}, v_.scratch.wide_codes);
  if (waits()) {
    for (const float x : maxima(first, count)) largest_ = std::max(largest_, x);
    return;
  }
  if (given())
    set_all(0, size / kGroup);
  else
    set_groups(maxima(first, count));
  code(first, count);
}

MadeOperand Making::finish() {
  if (waits()) {
    const std::size_t most = v_.rows_at_once();
    set_all(largest_, most * v_.stride() / kGroup);
    for (std::size_t first = 0; first < v_.rows(); first += most)
      code(first, std::min(most, v_.rows() - first));
  }
  const Lines<float>& values = kept() ? from_ : values_;
  made_.values = {values.data(), v_.rows(), v_.columns(), v_.stride(), 1};
  if (quant::leaves_scales(rule_)) made_.codes = codes_.data();
  return made_;
}

}  // namespace karat::attention
