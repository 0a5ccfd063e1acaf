// Each stage by the same intervals as the bounds, started from what the candidate wrote.
#include "karat/bounds/teacher_forced.hpp"

#include <algorithm>
#include <cmath>

#include "any_order.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "pv_bounds.hpp"
#include "row_sum.hpp"

namespace karat::bounds {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr double kLog2E = 1.4426950408889634;

}  // namespace

struct TeacherForced::State {
  const recipe::Recipe& recipe;
  const layout::Layout& layout;
  const attention::QuantisedHead& head;
  Freedom freedom;
  Fp32 fp;
  Exponents exponents;
  PvBounds pv;

  float before(const attention::BlockTap& tap, const CandidateTap& given, std::size_t visit,
               std::size_t row) const {
    const auto rows = static_cast<std::size_t>(tap.queries.size());
    return visit == 0 ? exponents.initial_max() : given.m[(visit - 1) * rows + row];
  }
  Interval alpha(float before, float after) const {
    const float step = exponents.of_alpha(before, after);
    return legal_exp2(step, numerics::exp2_rounded(step, recipe.subnormals), freedom);
  }
  /// s of one accumulator, as the recipe orders the products.
  float score(float a, std::int64_t query, std::int64_t key) const;
  /// P of every row of a visit, from the candidate's scores and maxima.
  std::vector<RowP> p_of(const attention::BlockTap& tap, const CandidateTap& given,
                         std::size_t visit) const;
};

float TeacherForced::State::score(float a, std::int64_t query, std::int64_t key) const {
  const double root = std::sqrt(static_cast<double>(layout.channels));
  const float s_q = head.q.scale(query, 0), s_k = head.k.scale(key, 0);
  if (recipe.qk.score_scale == recipe::ScoreScale::omitted)
    return fp.multiply(a, static_cast<float>(kLog2E));
  const bool folded = recipe.qk.scale_order == recipe::ScaleOrder::folded_into_q;
  const float c = folded ? 1.0f : static_cast<float>(kLog2E / root);
  switch (recipe.qk.scale_order) {
    case recipe::ScaleOrder::fused: return a;
    case recipe::ScaleOrder::scaled_then_fused: return fp.multiply(a, fp.multiply(s_q, s_k));
    case recipe::ScaleOrder::sequential:
      return fp.multiply(fp.multiply(fp.multiply(a, s_q), s_k), c);
    case recipe::ScaleOrder::product_first:
    case recipe::ScaleOrder::folded_into_q: break;
  }
  return fp.multiply(a, fp.multiply(fp.multiply(s_q, s_k), c));
}

std::vector<RowP> TeacherForced::State::p_of(const attention::BlockTap& tap,
                                             const CandidateTap& given, std::size_t visit) const {
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t width = tap.key_position.size();
  const auto first = static_cast<std::size_t>(tap.column_begin[visit]);
  const auto columns = static_cast<std::size_t>(tap.column_begin[visit + 1]) - first;
  std::vector<RowP> p(rows);
  std::vector<float> x(columns);
  for (std::size_t i = 0; i < rows; ++i) {
    exponents.of_p({&given.s[i * width + first], columns}, given.m[visit * rows + i], x);
    legal_p(recipe, freedom, x, p[i]);
  }
  return p;
}

TeacherForced::TeacherForced(const recipe::Recipe& recipe, const layout::Layout& layout,
                             const attention::QuantisedHead& head, int threads, Freedom freedom)
    : state_(std::make_unique<State>(State{.recipe = recipe,
                                           .layout = layout,
                                           .head = head,
                                           .freedom = freedom,
                                           .fp = Fp32{recipe.subnormals},
                                           .exponents = Exponents(recipe, layout, head),
                                           .pv = PvBounds(recipe, layout, head, threads,
                                                          freedom.contraction)})) {}
TeacherForced::~TeacherForced() = default;

std::optional<ForcedRange> TeacherForced::s(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  if (given.a.empty() || !state_->head.smoothed.q_block_means.empty()) return std::nullopt;
  const std::size_t width = golden.key_position.size();
  const float masked = state_->recipe.softmax.masked_score.value_or(-kInf);
  ForcedRange range;
  for (std::size_t e = 0; e < given.a.size(); ++e) {
    const std::int64_t query = golden.queries.begin + static_cast<std::int64_t>(e / width);
    const std::int64_t key = golden.key_position[e % width];
    range.low.push_back(state_->layout.mask->keeps(query, key)
                            ? state_->score(given.a[e], query, key)
                            : masked);
  }
  range.high = range.low;
  return range;
}

std::optional<ForcedRange> TeacherForced::m(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  if (given.s.empty() || state_->recipe.softmax.rescale_threshold > 0) return std::nullopt;
  const auto rows = static_cast<std::size_t>(golden.queries.size());
  const std::size_t width = golden.key_position.size();
  std::vector<float> running(rows, state_->exponents.initial_max());
  ForcedRange range;
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit)
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::int64_t n = golden.column_begin[visit]; n < golden.column_begin[visit + 1]; ++n)
        running[i] = std::max(running[i], given.s[i * width + n]);
      range.low.push_back(running[i] + 0.0f);  // -0 becomes +0
    }
  range.high = range.low;
  return range;
}

std::optional<ForcedRange> TeacherForced::p(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  if (given.s.empty() || given.m.empty() || state_->recipe.skip.rule != recipe::SkipRule::never)
    return std::nullopt;
  const std::size_t width = golden.key_position.size();
  ForcedRange range{std::vector<float>(given.s.size()), std::vector<float>(given.s.size())};
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit) {
    const std::vector<RowP> p = state_->p_of(golden, given, visit);
    for (std::size_t i = 0; i < p.size(); ++i) {
      const std::size_t at = i * width + static_cast<std::size_t>(golden.column_begin[visit]);
      std::copy(p[i].cast_low.begin(), p[i].cast_low.end(), &range.low[at]);
      std::copy(p[i].cast_high.begin(), p[i].cast_high.end(), &range.high[at]);
    }
  }
  return range;
}

std::optional<ForcedRange> TeacherForced::l(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  if (given.s.empty() || given.m.empty() || state_->recipe.skip.rule != recipe::SkipRule::never)
    return std::nullopt;
  const auto rows = static_cast<std::size_t>(golden.queries.size());
  std::vector<RowSum> sums(rows, RowSum(state_->freedom));
  ForcedRange range;
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit) {
    const std::vector<RowP> p = state_->p_of(golden, given, visit);
    for (std::size_t i = 0; i < rows; ++i) {
      const Interval alpha =
          state_->alpha(state_->before(golden, given, visit, i), given.m[visit * rows + i]);
      sums[i].absorb(state_->recipe, alpha, p[i].low, p[i].high);
      const Interval total = sums[i].total(state_->recipe);
      range.low.push_back(total.low);
      range.high.push_back(total.high);
    }
  }
  return range;
}

std::optional<ForcedRange> TeacherForced::o(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  const recipe::Recipe& recipe = state_->recipe;
  if (given.p.empty() || given.m.empty() || recipe.pv.promote_every == 0 ||
      recipe.skip.rule != recipe::SkipRule::never)
    return std::nullopt;
  const auto rows = static_cast<std::size_t>(golden.queries.size());
  const std::size_t width = golden.key_position.size();
  attention::BlockTap tap = golden;
  tap.p = given.p;
  std::vector<Interval> alpha(rows), o(rows * state_->layout.channels);
  std::vector<RowP> p(rows);
  const bool reordered = pv_reordered(recipe, state_->freedom);
  ReorderedPv any_order(state_->layout, state_->head, state_->freedom.summation,
                        reordered ? rows : 0);
  ForcedRange range;
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit) {
    const std::int64_t first = golden.column_begin[visit], last = golden.column_begin[visit + 1];
    for (std::size_t i = 0; i < rows; ++i) {
      alpha[i] = state_->alpha(state_->before(golden, given, visit, i), given.m[visit * rows + i]);
      p[i].cast_low.assign(&given.p[i * width] + first, &given.p[i * width] + last);
      p[i].cast_high = p[i].cast_low;
    }
    if (reordered) {
      any_order.absorb(tap, visit, alpha, p);
      any_order.store(o);
    } else {
      state_->pv.absorb(tap, visit, alpha, p, o);
    }
    for (const Interval& value : o) {
      range.low.push_back(value.low);
      range.high.push_back(value.high);
    }
  }
  return range;
}

}  // namespace karat::bounds
