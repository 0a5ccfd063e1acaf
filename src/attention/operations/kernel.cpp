// Constants of a launch.
#include "karat/attention/operations/kernel.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "infinity.hpp"

namespace karat::attention {
namespace {

float score_constant(const recipe::Qk& qk, std::size_t channels, double factor) {
  if (qk.score_scale == recipe::ScoreScale::omitted)
    return static_cast<float>(std::numbers::log2e * factor);
  if (qk.scale_order == recipe::ScaleOrder::folded_into_q) return static_cast<float>(factor);
  return static_cast<float>(score_scale(channels) * factor);
}

enum class Holder { reference, score };
bool holds_offset(const recipe::Recipe& r, Holder holder) {
  const bool in_scores = r.p.offset_enters == recipe::OffsetEnters::scores;
  return r.p.apply == recipe::PApply::exponent_offset && in_scores == (holder == Holder::score);
}

bool varies_along_keys(quant::Group group) {
  return group != quant::Group::tensor && group != quant::Group::all_heads &&
         group != quant::Group::channel;
}

}  // namespace

double score_scale(std::size_t channels) {
  return std::numbers::log2e / std::sqrt(static_cast<double>(channels));
}

Kernel::Kernel(const recipe::Recipe& r, std::size_t d, double score_factor)
    : recipe(r),
      qk(numerics::instruction(r.qk.instruction)),
      pv(numerics::instruction(r.pv.instruction)),
      fp32{r.subnormals},
      channels(d),
      c(score_constant(r.qk, d, score_factor)),
      fused(recipe::is_fused(r.qk.scale_order)),
      scores_scaled(r.qk.score_scale == recipe::ScoreScale::applied),
      masked_score(r.softmax.masked_score.value_or(-kInfinity)),
      initial_max(r.softmax.initial_max.value_or(-kInfinity)),
      from_accumulators(r.softmax.exponent == recipe::Exponent::accumulator),
      offset(holds_offset(r, Holder::reference) ? r.p.offset : 0.0f),
      score_offset(holds_offset(r, Holder::score) ? r.p.offset : 0.0f),
      multiplier(r.p.apply == recipe::PApply::multiply ? r.p.multiplier : 1.0f),
      inverse_multiplier(fp32.divide(1.0f, multiplier)),
      largest_p(quant::largest_finite(r.p.format)),
      p_rule(recipe::rule_of(r.p)),
      p_grouped(recipe::is_grouped(r.p)),
      p_scaled_by_rows(p_grouped && quant::leaves_scales(p_rule)) {}

float Kernel::reference(float m, float f) const {
  if (m == -kInfinity) return 0.0f;
  if (fused && recipe.p.offset_enters == recipe::OffsetEnters::fused)
    return fp32.fused(m, f, -offset);
  return fp32.add(in_log2(m, f), -offset);
}

std::vector<video::Range> Kernel::segments(video::Range keys) const {
  const std::int64_t step = recipe.pv.promote_every > 0 ? recipe.pv.promote_every : keys.size();
  std::vector<video::Range> parts;
  for (std::int64_t begin = keys.begin; begin < keys.end; begin += step)
    parts.push_back({begin, std::min(begin + step, keys.end)});
  return parts;
}

Launch::Launch(const recipe::Recipe& r, const layout::Layout& l, const QuantisedHead& h,
               double score_factor)
    : Kernel(r, l.channels, score_factor),
      layout(l),
      head(h),
      v_scaled_per_block(
          !h.v.scales.empty() &&
          (h.v.grouping.row_parts > 1 || (p_scaled_by_rows && varies_along_keys(r.v.group)))) {
  skip_lambda = fp32.divide(r.skip.factor, static_cast<float>(l.key_order.tokens()));
}

std::vector<float> Launch::block_scales(std::int64_t position) const {
  std::vector<float> scales;
  for (std::size_t j = 0; v_scaled_per_block && j < channels; ++j)
    scales.push_back(head.v.scale(position, j));
  return scales;
}

}  // namespace karat::attention
