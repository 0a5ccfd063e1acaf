// Intervals carried through softmax, P V and the finish of one query block.
#include "karat/bounds/bounds.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "any_order.hpp"
#include "cast.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "pv_bounds.hpp"
#include "row_sum.hpp"

namespace karat::bounds {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Ordered like the numbers, -0 just below +0.
std::int32_t order_key(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits < 0 ? std::numeric_limits<std::int32_t>::min() - bits - 1 : bits;
}

}  // namespace

bool inside(float value, float low, float high) {
  if (std::isnan(value) || std::isnan(low) || std::isnan(high))
    return std::isnan(value) && std::isnan(low) && std::isnan(high);
  return order_key(low) <= order_key(value) && order_key(value) <= order_key(high);
}

bool leaves_freedom(const recipe::Recipe& recipe) {
  return recipe.softmax.exp2 == recipe::Exp2::rounded;
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
  const recipe::Recipe& recipe;
  const layout::Layout& layout;
  const attention::QuantisedHead& head;
  Freedom freedom;
  Fp32 fp;
  Exponents exponents;
  PvBounds pv;
  std::vector<float> factor;  ///< per channel: fl(s_v / multiplier)

  void finish(std::span<const RowSum> sums, std::span<const Interval> accumulators,
              std::span<const float> o, std::span<const float> lse, BlockBounds& bounds) const;
  /// fl(O*r) of one row becomes the output, in place.
  void output_values(std::span<float> row, Contraction contraction) const;
  Interval reciprocal(Interval l) const;
  /// Does the kernel leave this visit out? (Scores and maxima decide; exp2 has no say.)
  bool skips(const attention::BlockTap& tap, std::size_t visit) const;
};

HeadBounds::HeadBounds(const recipe::Recipe& recipe, const layout::Layout& layout,
                       const attention::QuantisedHead& head, int threads, Freedom freedom) {
  const Fp32 fp{recipe.subnormals};
  state_ = std::make_unique<State>(
      State{.recipe = recipe,
            .layout = layout,
            .head = head,
            .freedom = freedom,
            .fp = fp,
            .exponents = Exponents(recipe, layout, head),
            .pv = PvBounds(recipe, layout, head, threads, freedom.contraction),
            .factor = std::vector<float>(layout.channels)});
  const float multiplier = recipe.p.apply == recipe::PApply::multiply ? recipe.p.multiplier : 1.0f;
  for (std::size_t j = 0; j < layout.channels; ++j)
    state_->factor[j] =
        fp.flushed((v_scaled_per_block(head) ? 1.0f : head.v.scale(0, j)) / multiplier);
}

HeadBounds::~HeadBounds() = default;

void HeadBounds::State::finish(std::span<const RowSum> sums, std::span<const Interval> accumulators,
                               std::span<const float> o, std::span<const float> lse,
                               BlockBounds& bounds) const {
  const std::size_t channels = layout.channels;
  const double unit = recipe.softmax.lse == recipe::Lse::log2 ? 1.0 : 0.6931471805599453;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const Interval l = sums[i].total(recipe);
    bounds.row_l_low.push_back(l.low);
    bounds.row_l_high.push_back(l.high);
    if (!(l.high > 0) || std::isnan(lse[i])) {  // fully masked, or NaN already
      bounds.lse_low.push_back(lse[i]);
      bounds.lse_high.push_back(lse[i]);
      for (auto* out : {&bounds.out_low, &bounds.out_high})
        out->insert(out->end(), &o[i * channels], &o[i * channels] + channels);
      continue;
    }
    // lg2.approx is within 2^-22 (absolute where its result is small); three f32 roundings follow.
    const double log2_low = l.low > 0 ? numerics::log2_f64(l.low) : -kInf;
    const double log2_high = numerics::log2_f64(l.high);
    const double slack = !leaves_freedom(freedom)
                             ? 0.0
                             : 0x1p-22 * std::max(1.0, std::abs(log2_high)) +
                                   0x1p-22 * (std::abs(lse[i]) / unit + std::abs(log2_high));
    const double spread = log2_high - log2_low + slack;
    bounds.lse_low.push_back(static_cast<float>(lse[i] - spread * unit));
    bounds.lse_high.push_back(static_cast<float>(lse[i] + spread * unit));

    const Interval r = reciprocal(l);
    std::vector<float> low(channels), high(channels);
    for (std::size_t j = 0; j < channels; ++j) {
      const Interval value = fp.multiply(accumulators[i * channels + j], r);
      low[j] = value.low;
      high[j] = value.high;
    }
    std::vector<float> fused_low, fused_high;
    if (freedom.contraction == Contraction::allowed) {
      fused_low = low;
      fused_high = high;
      output_values(fused_low, Contraction::allowed);
      output_values(fused_high, Contraction::allowed);
    }
    output_values(low, Contraction::none);
    output_values(high, Contraction::none);
    for (std::size_t j = 0; j < fused_low.size(); ++j) {
      low[j] = std::min(low[j], fused_low[j]);
      high[j] = std::max(high[j], fused_high[j]);
    }
    bounds.out_low.insert(bounds.out_low.end(), low.begin(), low.end());
    bounds.out_high.insert(bounds.out_high.end(), high.begin(), high.end());
  }
}

/// A kernel's r is an f32 number between the real ends, so it lies between their roundings too.
Interval HeadBounds::State::reciprocal(Interval l) const {
  if (freedom.reciprocal_ulp == 0)
    return {fp.flushed(1.0f / l.high), l.low > 0 ? fp.flushed(1.0f / l.low) : kInf};
  const double ulps = 0x1p-23 * freedom.reciprocal_ulp;
  const auto low = static_cast<float>(1.0 / l.high * (1 - ulps));
  const auto high = static_cast<float>(1.0 / l.low * (1 + ulps));
  return {fp.flushed(low), l.low > 0 ? fp.flushed(high) : kInf};
}

void HeadBounds::State::output_values(std::span<float> row, Contraction contraction) const {
  const auto rounded = [](std::span<float> x, numerics::FormatId format) {
    cast(
        x, format,
        quant::cast_policy(format, numerics::Rounding::nearest_even, numerics::Overflow::saturate));
  };
  const std::vector<float>& mean = head.smoothed.v_mean;
  const bool before_scale = recipe.finish.cast == recipe::Cast::before_scale;
  if (before_scale) rounded(row, recipe.output);
  for (std::size_t j = 0; j < row.size(); ++j) {
    const bool centred = !mean.empty() && !before_scale;
    if (centred && contraction == Contraction::allowed) {
      row[j] = fp.flushed(std::fma(row[j], factor[j], mean[j]));
      continue;
    }
    row[j] = fp.multiply(row[j], factor[j]);
    if (centred) row[j] = fp.add(row[j], mean[j]);
  }
  rounded(row, attention::output_format(recipe));
}

bool HeadBounds::State::skips(const attention::BlockTap& tap, std::size_t visit) const {
  if (visit == 0 || recipe.skip.rule != recipe::SkipRule::block_maximum) return false;
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t width = tap.key_position.size();
  float largest = -kInf;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* s = &tap.s[i * width];
    const float maximum =
        *std::max_element(s + tap.column_begin[visit], s + tap.column_begin[visit + 1]);
    if (maximum > -kInf)
      largest = std::max(largest, fp.add(exponents.in_log2(maximum),
                                         -exponents.in_log2(tap.m[(visit - 1) * rows + i])));
  }
  return fp.add(largest, recipe.skip.threshold) <= 0;
}

BlockBounds HeadBounds::of(const attention::BlockTap& tap, std::span<const float> o,
                           std::span<const float> lse, Detail detail) const {
  const State& s = *state_;
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t channels = s.layout.channels;
  const std::size_t width = tap.key_position.size();
  BlockBounds bounds;
  if (detail == Detail::stages) {
    bounds.p_low.resize(rows * width);
    bounds.p_high.resize(rows * width);
  }
  std::vector<RowSum> sums(rows, RowSum(s.freedom));
  const bool reordered = pv_reordered(s.recipe, s.freedom);
  ReorderedPv any_order(s.layout, s.head, s.freedom.summation, reordered ? rows : 0);
  std::vector<Interval> alpha(rows), accumulators(rows * channels);
  std::vector<RowP> p(rows);
  std::vector<float> x;
  for (std::size_t visit = 0; visit < tap.key_block.size(); ++visit) {
    const auto first = static_cast<std::size_t>(tap.column_begin[visit]);
    const auto columns = static_cast<std::size_t>(tap.column_begin[visit + 1]) - first;
    x.resize(columns);
    const bool skipped = s.skips(tap, visit);
    for (std::size_t i = 0; i < rows; ++i) {
      const float m = tap.m[visit * rows + i];
      const float before = visit == 0 ? s.exponents.initial_max() : tap.m[(visit - 1) * rows + i];
      const float step = s.exponents.of_alpha(before, m);
      alpha[i] = legal_exp2(step, numerics::exp2_rounded(step, s.recipe.subnormals), s.freedom);
      s.exponents.of_p({&tap.s[i * width + first], columns}, skipped ? -kInf : m, x);
      legal_p(s.recipe, s.freedom, x, p[i]);
      sums[i].absorb(s.recipe, alpha[i], p[i].low, p[i].high);
      if (detail == Detail::outputs) continue;
      const Interval l = sums[i].total(s.recipe);
      bounds.l_low.push_back(l.low);
      bounds.l_high.push_back(l.high);
      std::copy(p[i].cast_low.begin(), p[i].cast_low.end(), &bounds.p_low[i * width + first]);
      std::copy(p[i].cast_high.begin(), p[i].cast_high.end(), &bounds.p_high[i * width + first]);
    }
    if (reordered) {
      any_order.absorb(tap, visit, alpha, p);
      if (detail == Detail::stages || visit + 1 == tap.key_block.size())
        any_order.store(accumulators);
    } else if (skipped)
      for (std::size_t e = 0; e < accumulators.size(); ++e)
        accumulators[e] = s.fp.multiply(accumulators[e], alpha[e / channels]);
    else
      s.pv.absorb(tap, visit, alpha, p, accumulators);
    if (detail == Detail::outputs) continue;
    for (const Interval& value : accumulators) {
      bounds.o_low.push_back(value.low);
      bounds.o_high.push_back(value.high);
    }
  }
  s.finish(sums, accumulators, o, lse, bounds);
  if (s.freedom.summation == Summation::likely) return bounds;
  for (std::size_t e = 0; e < o.size(); ++e)
    if (!std::isnan(o[e]) && !inside(o[e], bounds.out_low[e], bounds.out_high[e]))
      throw Error(ErrorKind::internal, "bounds of query block " + std::to_string(tap.query_block),
                  "do not contain the golden value", "please report this");
  return bounds;
}

}  // namespace karat::bounds
