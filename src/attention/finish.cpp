// Launch constants, row state, and the step from accumulators to outputs.
#include <bit>
#include <limits>

#include "karat/numerics/convert.hpp"
#include "karat/numerics/error.hpp"
#include "launch.hpp"

namespace karat::attention {
namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;
constexpr float kInf = std::numeric_limits<float>::infinity();

float score_constant(const recipe::Recipe& recipe, std::size_t channels, double factor) {
  if (recipe.qk.score_scale == recipe::ScoreScale::omitted)
    return static_cast<float>(kLog2E * factor);
  if (recipe.qk.scale_order == recipe::ScaleOrder::folded_into_q)
    return static_cast<float>(factor);
  return static_cast<float>(kLog2E / std::sqrt(static_cast<double>(channels)) * factor);
}

float cast(float x, numerics::FormatId format) {
  if (format == numerics::FormatId::f32) return x;
  const auto policy =
      quant::cast_policy(format, numerics::Rounding::nearest_even, numerics::Overflow::saturate);
  return numerics::decode(numerics::encode(x, format, policy), format);
}

/// `normalised` = fl(O*r), `factor` = fl(s_v/multiplier); `mean`: what smoothing took out of v.
float output_value(const Launch& launch, float normalised, float factor, const float* mean) {
  const recipe::Recipe& recipe = launch.recipe;
  if (recipe.finish.cast == recipe::Cast::after_scale) {
    const float value = launch.fp32.multiply(normalised, factor);
    return cast(mean == nullptr ? value : launch.fp32.add(value, *mean), recipe.output);
  }
  return cast(launch.fp32.multiply(cast(normalised, recipe.output), factor), output_format(recipe));
}

/// (m + log2 l) * ln 2 in f64, what P's offset and k's smoothing changed put back, one rounding.
float log_sum_exp(const Launch& launch, std::int64_t position, float m, float l) {
  const recipe::Recipe& recipe = launch.recipe;
  const Fp32& fp = launch.fp32;
  double log2_sum = m;
  if (launch.fused) log2_sum = fp.multiply(m, launch.factor(position, 0));
  log2_sum += numerics::log2_f64(l);
  if (recipe.p.apply == recipe::PApply::exponent_offset) log2_sum -= recipe.p.offset;
  const auto& lost = launch.head.smoothed.q_dot_k_mean;
  if (!lost.empty())
    log2_sum += lost[position] * (kLog2E / std::sqrt(static_cast<double>(launch.channels)));
  return static_cast<float>(recipe.softmax.lse == recipe::Lse::log2 ? log2_sum : log2_sum * kLn2);
}

}  // namespace

numerics::FormatId output_format(const recipe::Recipe& recipe) {
  return recipe.finish.cast == recipe::Cast::before_scale ? numerics::FormatId::bf16
                                                          : recipe.output;
}

Launch::Launch(const recipe::Recipe& r, const Layout& l, const QuantisedHead& h,
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
    : m(rows + 16, launch.initial_max), partial(rows * 4, 0.0f), o(rows * launch.channels, 0.0f) {}

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

void finish(const Launch& launch, video::Range queries, const RowState& state, HeadResult& result) {
  const Fp32& fp = launch.fp32;
  const recipe::Recipe& recipe = launch.recipe;
  const float multiplier = recipe.p.apply == recipe::PApply::multiply ? recipe.p.multiplier : 1.0f;
  const Smoothed& smoothed = launch.head.smoothed;
  std::vector<float> factor(launch.channels);
  for (std::size_t j = 0; j < launch.channels; ++j) {
    const float s_v = launch.v_scaled_per_block ? 1.0f : launch.head.v.scale(queries.begin, j);
    factor[j] = fp.round(static_cast<double>(s_v / multiplier));
  }
  for (std::int64_t i = 0; i < queries.size(); ++i) {
    const std::int32_t token = launch.layout.order.token_at[queries.begin + i];
    if (token < 0) continue;
    const float l = row_sum(launch, &state.partial[i * 4]);
    result.m[token] = state.m[i];
    result.l[token] = l;
    float* out = &result.o[token * launch.channels];
    if (l == 0.0f) {
      const bool nan = recipe.finish.fully_masked == recipe::FullyMasked::nan;
      std::fill_n(out, launch.channels, nan ? std::numeric_limits<float>::quiet_NaN() : 0.0f);
      result.lse[token] = -kInf;
      continue;
    }
    const float r = fp.flushed(1.0f / l);
    for (std::size_t j = 0; j < launch.channels; ++j) {
      const float* mean = smoothed.v_mean.empty() ? nullptr : &smoothed.v_mean[j];
      out[j] =
          output_value(launch, fp.multiply(state.o[i * launch.channels + j], r), factor[j], mean);
    }
    result.lse[token] = log_sum_exp(launch, queries.begin + i, state.m[i], l);
  }
}

}  // namespace karat::attention
