// Each stage by the same intervals as the bounds, started from what the candidate wrote.
#include "karat/bounds/teacher_forced.hpp"

#include <algorithm>
#include <limits>

#include "any_order.hpp"
#include "karat/attention/operations/score.hpp"
#include "pv_bounds.hpp"
#include "row_sum.hpp"

namespace karat::bounds {
namespace {

/// A skipped visit hides what its P would be.
bool visits_all(const recipe::Recipe& recipe) { return !recipe::skips_now(recipe.skip.rule); }

/// What P follows from; where exponents start from accumulators those too.
bool has_scores(const Launch& launch, const CandidateTap& given) {
  return !given.s.empty() && (!launch.from_accumulators || !given.a.empty());
}

}  // namespace

struct TeacherForced::State {
  State(const recipe::Recipe& recipe, const layout::Layout& layout,
        const attention::QuantisedHead& head, int threads, Freedom allowed)
      : free(recipe, layout, head, allowed), pv(free, threads) {}
  FreeLaunch free;
  PvBounds pv;

  /// alpha of a row from the candidate's maxima.
  Interval alpha(const CandidateTap& given, std::size_t rows, std::size_t visit,
                 std::size_t row) const {
    return free.alpha(free.maximum_before(given.m, rows, visit, row), given.m[visit * rows + row]);
  }
  /// P of every row of a visit, from the candidate's scores and maxima.
  std::vector<RowP> p_of(const attention::BlockTap& tap, const CandidateTap& given,
                         std::size_t visit) const;
};

std::vector<RowP> TeacherForced::State::p_of(const attention::BlockTap& tap,
                                             const CandidateTap& given, std::size_t visit) const {
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  std::vector<RowP> p(rows);
  for (std::size_t i = 0; i < rows; ++i)
    free.p(attention::row_scores(free.launch, tap, visit, i, given.a, given.s),
           given.m[visit * rows + i], p[i]);
  return p;
}

TeacherForced::TeacherForced(const recipe::Recipe& recipe, const layout::Layout& layout,
                             const attention::QuantisedHead& head, int threads, Freedom freedom)
    : state_(std::make_unique<State>(recipe, layout, head, threads, freedom)) {}
TeacherForced::~TeacherForced() = default;

std::optional<ForcedRange> TeacherForced::s(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  const Launch& launch = state_->free.launch;
  if (given.a.empty() || !launch.head.smoothed.q_block_means.empty()) return std::nullopt;
  const std::size_t width = golden.key_position.size();
  const std::size_t visits = golden.key_block.size();
  const auto last = visits == 0 ? width : static_cast<std::size_t>(golden.column_begin[visits - 1]);
  ForcedRange range;
  for (std::size_t e = 0; e < given.a.size(); ++e) {
    const std::int64_t query = golden.queries.begin + static_cast<std::int64_t>(e / width);
    const std::int64_t key = golden.key_position[e % width];
    const auto turn = e % width < last ? attention::Turn::earlier : attention::Turn::last;
    range.low.push_back(
        launch.layout.mask->keeps(query, key)
            ? attention::score(launch, given.a[e], launch.q_scale(query), launch.k_scale(key), turn)
            : launch.masked_score);
  }
  range.high = range.low;
  return range;
}

std::optional<ForcedRange> TeacherForced::m(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  if (given.s.empty()) return std::nullopt;
  const FreeLaunch& free = state_->free;
  const auto rows = static_cast<std::size_t>(golden.queries.size());
  const std::size_t width = golden.key_position.size();
  std::vector<float> running(rows, free.launch.initial_max);
  ForcedRange range;
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit)
    for (std::size_t i = 0; i < rows; ++i) {
      float maximum = -std::numeric_limits<float>::infinity();
      for (std::int64_t n = golden.column_begin[visit]; n < golden.column_begin[visit + 1]; ++n)
        maximum = std::max(maximum, given.s[i * width + n]);
      running[i] = attention::next_maximum(free.launch, running[i], maximum, free.f);
      range.low.push_back(running[i]);
    }
  range.high = range.low;
  return range;
}

std::optional<ForcedRange> TeacherForced::p(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  const Launch& launch = state_->free.launch;
  if (!has_scores(launch, given) || given.m.empty() || !visits_all(launch.recipe))
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
  const Launch& launch = state_->free.launch;
  if (!has_scores(launch, given) || given.m.empty() || !visits_all(launch.recipe))
    return std::nullopt;
  const auto rows = static_cast<std::size_t>(golden.queries.size());
  std::vector<RowSum> sums(rows, RowSum(state_->free));
  ForcedRange range;
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit) {
    const std::vector<RowP> p = state_->p_of(golden, given, visit);
    for (std::size_t i = 0; i < rows; ++i) {
      sums[i].absorb(state_->alpha(given, rows, visit, i), p[i].low, p[i].high);
      const Interval total = sums[i].total();
      range.low.push_back(total.low);
      range.high.push_back(total.high);
    }
  }
  return range;
}

std::optional<ForcedRange> TeacherForced::o(const attention::BlockTap& golden,
                                            const CandidateTap& given) const {
  const Launch& launch = state_->free.launch;
  if (given.p.empty() || given.m.empty() || launch.recipe.pv.promote_every == 0 ||
      !visits_all(launch.recipe) || (launch.p_scaled_by_rows && !has_scores(launch, given)))
    return std::nullopt;
  const auto rows = static_cast<std::size_t>(golden.queries.size());
  const std::size_t width = golden.key_position.size();
  attention::BlockTap tap = golden;
  tap.p = given.p;
  tap.t.clear();  // of the golden P
  tap.product_begin.clear();
  std::vector<Interval> alpha(rows), o(rows * launch.channels);
  std::vector<RowP> p(rows);
  const bool reordered = pv_reordered(state_->free);
  ReorderedPv any_order(state_->free, reordered ? rows : 0);
  ForcedRange range;
  for (std::size_t visit = 0; visit < golden.key_block.size(); ++visit) {
    const std::int64_t first = golden.column_begin[visit], last = golden.column_begin[visit + 1];
    // The scales of P's rows are not written; they follow from scores and maxima.
    if (launch.p_scaled_by_rows) p = state_->p_of(golden, given, visit);
    for (std::size_t i = 0; i < rows; ++i) {
      alpha[i] = state_->alpha(given, rows, visit, i);
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
