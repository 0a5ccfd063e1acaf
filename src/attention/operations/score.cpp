// Scores, maxima and exponents, in f32 operations of one rounding each.
#include "karat/attention/operations/score.hpp"

#include "infinity.hpp"
#include "karat/attention/operations/probability.hpp"

namespace karat::attention {
Scaled scaled(const Kernel& kernel, float a, float s_q, float s_k, Turn turn) {
  const numerics::Fp32& fp = kernel.fp32;
  if (turn == Turn::last && kernel.recipe.qk.scale_order == recipe::ScaleOrder::folded_until_last)
    return {fp.multiply(a, fp.multiply(s_q, s_k)), kernel.c};
  return {a, kernel.factor(s_q, s_k)};
}

RowScores row_scores(const Launch& launch, std::int64_t query, video::Range keys,
                     std::span<const float> a, std::span<const float> s, Turn turn) {
  RowScores row{.s = s, .base = {}, .factor = {}};
  for (std::size_t n = 0; launch.from_accumulators && n < s.size(); ++n) {
    const std::int64_t key = keys.begin + static_cast<std::int64_t>(n);
    const Scaled each = scaled(launch, a[n], launch.q_scale(query), launch.k_scale(key), turn);
    row.base.push_back(each.base);
    row.factor.push_back(each.factor);
  }
  return row;
}

RowScores row_scores(const Launch& launch, const BlockTap& tap, std::size_t visit, std::size_t row,
                     std::span<const float> a, std::span<const float> s) {
  const auto first = static_cast<std::size_t>(tap.column_begin[visit]);
  const auto columns = static_cast<std::size_t>(tap.column_begin[visit + 1]) - first;
  const std::size_t at = row * tap.key_position.size() + first;
  const std::int64_t key = columns > 0 ? tap.key_position[first] : 0;
  return row_scores(launch, tap.queries.begin + static_cast<std::int64_t>(row),
                    {key, key + static_cast<std::int64_t>(columns)},
                    launch.from_accumulators ? a.subspan(at, columns) : std::span<const float>{},
                    s.subspan(at, columns), turn_of(visit, tap.key_block.size()));
}

float score(const Kernel& kernel, float a, float s_q, float s_k, Turn turn) {
  const numerics::Fp32& fp = kernel.fp32;
  if (!kernel.scores_scaled) return fp.multiply(a, kernel.c);
  switch (kernel.recipe.qk.scale_order) {
    case recipe::ScaleOrder::product_first:
    case recipe::ScaleOrder::folded_into_q:
    case recipe::ScaleOrder::query_first:
    case recipe::ScaleOrder::folded_until_last: {
      const auto [base, factor] = scaled(kernel, a, s_q, s_k, turn);
      return kernel.score_offset != 0 ? fp.fused(base, factor, -kernel.score_offset)
                                      : fp.multiply(base, factor);
    }
    case recipe::ScaleOrder::sequential:
      return fp.multiply(fp.multiply(fp.multiply(a, s_q), s_k), kernel.c);
    case recipe::ScaleOrder::scaled_then_fused:
      return fp.multiply(a, fp.multiply(s_q, s_k));
    case recipe::ScaleOrder::fused:
      break;
  }
  return a;
}

float next_maximum(const Kernel& kernel, float m, float block_maximum, float f) {
  const float candidate = block_maximum > m ? block_maximum : m;
  const float rise = kernel.in_log2(kernel.fp32.add(candidate, -m), f);
  return (rise <= kernel.recipe.softmax.rescale_threshold ? m : candidate) + 0.0f;
}

void SkipTest::row(std::size_t row, float m_before, float block_maximum, float f) {
  const recipe::Recipe& r = kernel_.recipe;
  if (r.skip.rows > 0 &&
      row + static_cast<std::size_t>(r.skip.rows) < static_cast<std::size_t>(r.block.q))
    return;
  any_ = true;
  if (block_maximum == -kInfinity) return;
  const float gain =
      kernel_.fp32.add(kernel_.in_log2(block_maximum, f), -kernel_.in_log2(m_before, f));
  largest_ = gain > largest_ ? gain : largest_;
}

bool SkipTest::small() const {
  if (!decides()) return false;
  const recipe::Recipe& r = kernel_.recipe;
  if (r.skip.rule != recipe::SkipRule::exponential)
    return kernel_.fp32.add(largest_, r.skip.threshold) <= 0;
  return r.softmax.exp2 == recipe::Exp2::exact
             ? power<double>(kernel_, largest_) < kernel_.skip_lambda
             : power<float>(kernel_, largest_) < kernel_.skip_lambda;
}

float alpha_exponent(const Kernel& kernel, float m, float next, float f) {
  return next == -kInfinity ? 0.0f : kernel.in_log2(kernel.fp32.add(m, -next), f);
}

void p_exponents(const Kernel& kernel, const RowScores& row, float m, float f, std::span<float> x) {
  const numerics::Fp32& fp = kernel.fp32;
  const float reference = kernel.reference(m, f);
  for (std::size_t n = 0; n < x.size(); ++n) {
    const float s = row.s[n];
    if (kernel.fused)
      x[n] = s == -kInfinity ? -kInfinity : fp.fused(s, f, -reference);
    else if (kernel.from_accumulators && s != -kInfinity && s != kernel.masked_score)
      x[n] = fp.fused(row.base[n], row.factor[n], -reference);
    else
      x[n] = fp.add(s, -reference);
  }
}

}  // namespace karat::attention
