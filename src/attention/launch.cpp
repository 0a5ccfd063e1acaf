// Launch constants, and the state of a query block's rows.
#include "launch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fast/softmax_rows.hpp"

namespace karat::attention {
namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr float kInf = std::numeric_limits<float>::infinity();

float score_constant(const recipe::Recipe& recipe, std::size_t channels, double factor) {
  if (recipe.qk.score_scale == recipe::ScoreScale::omitted)
    return static_cast<float>(kLog2E * factor);
  if (recipe.qk.scale_order == recipe::ScaleOrder::folded_into_q) return static_cast<float>(factor);
  return static_cast<float>(kLog2E / std::sqrt(static_cast<double>(channels)) * factor);
}

}  // namespace

Launch::Launch(const recipe::Recipe& r, const layout::Layout& l, const QuantisedHead& h,
               double score_factor)
    : recipe(r),
      layout(l),
      head(h),
      qk(numerics::instruction(r.qk.instruction)),
      pv(numerics::instruction(r.pv.instruction)),
      fp32{r.subnormals},
      channels(l.channels),
      c(score_constant(r, l.channels, score_factor)),
      fused(recipe::is_fused(r.qk.scale_order)),
      scores_scaled(r.qk.score_scale == recipe::ScoreScale::applied),
      masked_score(r.softmax.masked_score.value_or(-kInf)),
      initial_max(r.softmax.initial_max.value_or(-kInf)),
      largest_p(quant::largest_finite(r.p.format)),
      v_scaled_per_block(!h.v.scales.empty() && h.v.grouping.row_parts > 1) {}

std::vector<video::Range> Launch::segments(video::Range keys) const {
  const std::int64_t step = recipe.pv.promote_every > 0 ? recipe.pv.promote_every : keys.size();
  std::vector<video::Range> parts;
  for (std::int64_t begin = keys.begin; begin < keys.end; begin += step)
    parts.push_back({begin, std::min(begin + step, keys.end)});
  return parts;
}

RowState::RowState(const Launch& launch, std::size_t rows)
    : m(rows + kPadding, launch.initial_max),
      partial(rows * 4, 0.0f),
      o(rows * launch.channels, 0.0f) {}

float row_sum(const Launch& launch, const float* partial) {
  if (launch.recipe.softmax.row_sum_order != recipe::RowSumOrder::wgmma_quad) return partial[0];
  const Fp32& fp = launch.fp32;
  return fp.add(fp.add(partial[0], partial[2]), fp.add(partial[1], partial[3]));
}

float next_maximum(const Launch& launch, float m, float block_maximum, float f) {
  const float candidate = block_maximum > m ? block_maximum : m;
  const float rise = launch.fp32.add(candidate, -m);
  const bool keep = (launch.fused ? launch.fp32.multiply(rise, f) : rise) <=
                    launch.recipe.softmax.rescale_threshold;
  return (keep ? m : candidate) + 0.0f;  // -0 becomes +0
}

}  // namespace karat::attention
