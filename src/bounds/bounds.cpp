// Intervals carried through softmax, P V and the finish of one query block.
#include "karat/bounds/bounds.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "any_order.hpp"
#include "finish_bounds.hpp"
#include "finite_rows.hpp"
#include "karat/attention/operations/pv.hpp"
#include "karat/numerics/base/error.hpp"
#include "non_finite.hpp"
#include "pv_bounds.hpp"
#include "row_sum.hpp"
#include "visits.hpp"

namespace karat::bounds {
namespace {

/// Ordered like the numbers, -0 just below +0.
std::int32_t order_key(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits < 0 ? std::numeric_limits<std::int32_t>::min() - bits - 1 : bits;
}

}  // namespace

bool inside(float value, float low, float high) {
  const bool open_below = std::isnan(low), open_above = std::isnan(high);
  if (std::isnan(value)) return open_below || open_above;
  if (open_below && open_above) return false;
  return (open_below || order_key(low) <= order_key(value)) &&
         (open_above || order_key(value) <= order_key(high));
}

bool leaves_freedom(const recipe::Recipe& recipe) {
  return recipe.softmax.exp2 != recipe::Exp2::exact;
}

Freedom freedom_of(const recipe::Recipe& recipe, Freedom allowed) {
  if (!leaves_freedom(recipe)) allowed.low = allowed.high = 1.0f;
  return allowed;
}

bool leaves_freedom(const Freedom& freedom) {
  return freedom.low != freedom.high || freedom.summation != Summation::fixed ||
         freedom.contraction != Contraction::none || freedom.reciprocal_ulp > 0;
}

struct HeadBounds::State {
  State(const recipe::Recipe& recipe, const layout::Layout& layout,
        const attention::QuantisedHead& head, int threads, Freedom allowed,
        const BranchRange* branch)
      : free(recipe, layout, head, allowed), pv(free, threads), finish(free, branch) {}
  FreeLaunch free;
  PvBounds pv;
  FinishBounds finish;
};

HeadBounds::HeadBounds(const recipe::Recipe& recipe, const layout::Layout& layout,
                       const attention::QuantisedHead& head, int threads, Freedom freedom,
                       const BranchRange* branch)
    : state_(std::make_unique<State>(recipe, layout, head, threads, freedom, branch)) {}

HeadBounds::~HeadBounds() = default;

BlockBounds HeadBounds::of(const attention::BlockTap& tap, std::span<const float> o,
                           std::span<const float> lse, Detail detail) const {
  const FreeLaunch& free = state_->free;
  const Launch& launch = free.launch;
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t width = tap.key_position.size();
  BlockBounds bounds;
  if (detail == Detail::stages) {
    bounds.p_low.resize(rows * width);
    bounds.p_high.resize(rows * width);
  }
  std::vector<RowSum> sums(rows, RowSum(free));
  const bool reordered = pv_reordered(free);
  ReorderedPv any_order(free, reordered ? rows : 0);
  std::vector<Interval> alpha(rows), accumulators(rows * launch.channels);
  // P of the rows at hand; sums in any order take all rows of a visit.
  std::vector<RowP> p(reordered ? rows : state_->pv.rows_at_once(rows));
  std::vector<float> before(rows, launch.initial_max);
  for (std::size_t visit = 0; visit < tap.key_block.size(); ++visit) {
    const auto first = static_cast<std::size_t>(tap.column_begin[visit]);
    const auto columns = static_cast<std::size_t>(tap.column_begin[visit + 1]) - first;
    const auto [visited, golden_skips, largest] = decision(free, tap, visit);
    const bool has_exponents = !tap.x.empty() && !golden_skips;
    const bool skipped = visited == Visited::skipped, perhaps = visited == Visited::either;
    const std::span<const float> maxima(&tap.m[visit * rows], rows);
    free.alphas(before, maxima, alpha);
    std::ranges::copy(maxima, before.begin());
    const auto make_p = [&](std::size_t i, RowP& row) {
      if (skipped)
        row.become_zero(columns);
      else if (has_exponents)
        free.p({&tap.x[i * width + first], columns}, row);
      else
        free.p(attention::row_scores(launch, tap, visit, i, tap.a, tap.s), maxima[i], row);
      if (perhaps) row.may_be_zero();
    };
    for (std::size_t begin = 0; begin < rows; begin += p.size()) {
      const std::size_t count = std::min(p.size(), rows - begin);
      const std::span at_hand = std::span(p).first(count);
      const std::span<const Interval> alphas = std::span(alpha).subspan(begin, count);
      for (std::size_t i = 0; i < count; ++i) make_p(begin + i, at_hand[i]);
      RowSum::absorb(std::span(sums).subspan(begin, count), alphas, at_hand);
      for (std::size_t i = 0; detail == Detail::stages && i < count; ++i) {
        const Interval l = sums[begin + i].total();
        bounds.l_low.push_back(l.low);
        bounds.l_high.push_back(l.high);
        const auto column = static_cast<std::ptrdiff_t>((begin + i) * width + first);
        std::ranges::copy(p[i].cast_low, bounds.p_low.begin() + column);
        std::ranges::copy(p[i].cast_high, bounds.p_high.begin() + column);
      }
      const std::span o_at_hand =
          std::span(accumulators).subspan(begin * launch.channels, count * launch.channels);
      if (reordered) {
        any_order.absorb(tap, visit, alphas, at_hand);
      } else if (skipped) {
        for (std::size_t i = 0; i < count; ++i)
          rescale_row({alphas[i], launch.fp32.subnormals},
                      o_at_hand.subspan(i * launch.channels, launch.channels),
                      is_finite(alphas[i]) ? numerics::Path::fast : numerics::Path::scalar);
      } else {
        state_->pv.absorb(tap, visit, alphas, at_hand, o_at_hand,
                          golden_skips ? GoldenT::computed : GoldenT::tapped, begin);
      }
    }
    if (reordered && (detail == Detail::stages || visit + 1 == tap.key_block.size()))
      any_order.store(accumulators);
    if (detail == Detail::outputs) continue;
    for (const Interval& value : accumulators) {
      bounds.o_low.push_back(value.low);
      bounds.o_high.push_back(value.high);
    }
  }
  for (std::size_t i = 0; i < rows; ++i)
    state_->finish.row(
        sums[i].total(), {&accumulators[i * launch.channels], launch.channels},
        {o.subspan(i * launch.channels, launch.channels), lse[i],
         launch.layout.order.token_at[tap.queries.begin + static_cast<std::int64_t>(i)]},
        bounds);
  if (free.freedom.summation == Summation::likely) return bounds;
  for (std::size_t e = 0; e < o.size(); ++e) {
    float &low = bounds.out_low[e], &high = bounds.out_high[e];
    if (std::isnan(o[e]) || inside(o[e], low, high)) continue;
    if (is_finite({low, high}) && std::isfinite(o[e]))
      throw Error(ErrorKind::internal, "bounds of query block " + std::to_string(tap.query_block),
                  "do not contain the golden value", "please report this");
    low = high = o[e];
  }
  return bounds;
}

}  // namespace karat::bounds
