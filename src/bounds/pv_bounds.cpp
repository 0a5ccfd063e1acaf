// T by the real chain; its freedom by enumeration or by a worst-case bound.
#include "pv_bounds.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "finite_rows.hpp"
#include "karat/attention/operations/pv.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "non_finite.hpp"

namespace karat::bounds {

using numerics::MatrixView;
using numerics::Start;

namespace {

/// Up to 2^4 combinations of flipped codes are tried one by one: in a format of at most 16 bits a
/// legal P has at most two codes. (In f32, and under group scales that are free themselves, it has
/// many, and the hull of two would prove nothing.)
constexpr std::size_t kEnumerated = 4;
/// More flips than this share the largest |v| of their segment instead of their own.
constexpr std::size_t kCounted = 16;

/// Columns looked at together.
constexpr std::size_t kColumnsAtOnce = 32;

}  // namespace

/// Columns of a row whose codes are free: all of them, or kCounted + 1 where there are more.
struct PvBounds::Flips {
  Flips(const RowP& p, std::size_t begin, std::size_t end) {
    for (std::size_t n = begin; n < end && !counted(); n += kColumnsAtOnce)
      add(p, n, std::min(end, n + kColumnsAtOnce));
  }
  bool counted() const { return size > kCounted; }
  std::span<const std::size_t> columns() const { return {first.data(), size}; }

  std::array<std::size_t, kCounted + 1> first;
  std::size_t size = 0;

 private:
  void add(const RowP& p, std::size_t begin, std::size_t end) {
    // Seldom any: first a loop without a branch.
    const float *low = p.cast_low.data(), *high = p.cast_high.data();
    int any = 0;
    for (std::size_t n = begin; n < end; ++n) any |= static_cast<int>(low[n] != high[n]);
    for (std::size_t n = begin; any != 0 && n < end && !counted(); ++n)
      if (low[n] != high[n]) first[size++] = n;
  }
};

/// One segment of a visited key block.
struct PvBounds::Part {
  const Segment& segment;
  std::span<const RowP> p;
  MatrixView<const float> golden_p;  ///< rows x keys of the segment
  const float* golden_t;             ///< rows x channels of golden_p V; null: not tapped
  std::size_t first;                 ///< first column within the visited block
  std::size_t last;
  mutable std::optional<numerics::ColumnOperand> packed = {};
  mutable std::vector<LegalSums> sums = {};

  /// Of a row's P. Those of all rows are made when one is needed.
  const LegalSums& sums_of(std::size_t row) const {
    if (sums.empty()) {
      std::vector<RowEnds> ends;
      for (const RowP& of : p) ends.push_back({&of.cast_low[first], &of.cast_high[first]});
      sums.resize(p.size());
      legal_sums(ends, last - first, sums);
    }
    return sums[row];
  }

  /// V of the segment, packed when it is first needed: with T tapped that is seldom, and all of V
  /// would take as much memory as the engine's.
  const numerics::ColumnOperand& v(const Launch& launch) const {
    if (packed) return *packed;
    const auto rows = launch.head.v.view().rows_from(segment.keys.begin, segment.keys.size());
    packed.emplace().pack(launch.pv, rows.transposed());
    return *packed;
  }
};

PvBounds::PvBounds(const FreeLaunch& free, int threads)
    : launch_(free.launch),
      contraction_(free.freedom.contraction),
      chain_bound_(launch_.pv),
      sums_(launch_.pv),
      segments_(launch_.layout.blocks.key_blocks.size()) {
  numerics::parallel_for(segments_.size(), threads, [&](std::size_t block, int) {
    segments_[block] = segments_of(launch_.layout.blocks.key_blocks[block]);
  });
}

std::vector<PvBounds::Segment> PvBounds::segments_of(video::Range keys) const {
  std::vector<Segment> parts;
  for (const video::Range part : launch_.segments(keys)) {
    const MatrixView<const float> v = launch_.head.v.view().rows_from(part.begin, part.size());
    parts.push_back(Segment{part, std::vector<double>(v.columns, 0.0)});
    Segment& segment = parts.back();
    for (std::size_t n = 0; n < v.rows; ++n)
      for (std::size_t j = 0; j < v.columns; ++j)
        segment.v_max[j] =
            std::max<double>(segment.v_max[j], std::isnan(v(n, j)) ? kInfinity : std::abs(v(n, j)));
  }
  return parts;
}

void PvBounds::absorb(const attention::BlockTap& tap, std::size_t visit,
                      std::span<const Interval> alpha, std::span<const RowP> p,
                      std::span<Interval> o, GoldenT golden_t, std::size_t first_row) const {
  const std::size_t width = tap.key_position.size();
  const std::size_t products = static_cast<std::size_t>(tap.queries.size()) * launch_.channels;
  const auto column = static_cast<std::size_t>(tap.column_begin[visit]);
  const std::int64_t block_begin = launch_.layout.blocks.key_blocks[tap.key_block[visit]].begin;
  bool rescaled = false;
  const float* t = nullptr;
  if (golden_t == GoldenT::tapped && !tap.product_begin.empty())
    t = tap.t.data() + tap.product_begin[visit] * products + first_row * launch_.channels;
  for (const Segment& segment : segments_[tap.key_block[visit]]) {
    const auto first = static_cast<std::size_t>(segment.keys.begin - block_begin);
    const auto keys = static_cast<std::size_t>(segment.keys.size());
    const Part part{
        segment, p,     {&tap.p[first_row * width + column + first], alpha.size(), keys, width, 1},
        t,       first, first + keys};
    if (t != nullptr) t += products;
    if (launch_.recipe.pv.promote_every == 0)
      return accumulate(part, tap, visit, first_row, alpha, o);
    const std::vector<Interval> ones(alpha.size(), Interval{1.0f, 1.0f});
    promote(part, rescaled ? ones : alpha, o);
    rescaled = true;
  }
}

void PvBounds::promote(const Part& part, std::span<const Interval> alpha,
                       std::span<Interval> o) const {
  const std::size_t channels = launch_.channels;
  std::vector<float> made;
  const float* golden = part.golden_t;
  if (golden == nullptr) {
    made.resize(alpha.size() * channels);
    numerics::RowOperand rows;
    rows.pack(launch_.pv, part.golden_p);
    numerics::chain(launch_.pv, rows, part.v(launch_), Start::absent,
                    numerics::row_major(made.data(), alpha.size(), channels));
    golden = made.data();
  }
  const std::vector<float> s_v = launch_.block_scales(part.segment.keys.begin);
  const bool scaled = launch_.p_scaled_by_rows || !s_v.empty();
  std::vector<Interval> t(channels), f(scaled ? channels : 0);
  for (std::size_t j = 0; j < f.size(); ++j) f[j] = s_v.empty() ? 1.0f : s_v[j];
  const std::vector<Interval> of_v = f;
  FiniteRow memory(channels);
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    row_of_t(part, i, {golden + i * channels, channels}, t);
    if (launch_.p_scaled_by_rows)
      for (std::size_t j = 0; j < channels; ++j)
        f[j] = launch_.fp32.multiply(part.p[i].scale, of_v[j]);
    const std::span<Interval> row(&o[i * channels], channels);
    if (contraction_ == Contraction::none && is_finite(alpha[i]) &&
        promote_row({alpha[i], launch_.fp32.subnormals}, t, f, memory, row))
      continue;
    for (std::size_t j = 0; j < channels; ++j)
      row[j] = updated(row[j], alpha[i], t[j], scaled ? &f[j] : nullptr);
  }
}

Interval PvBounds::updated(Interval o, Interval alpha, Interval t, const Interval* f) const {
  const numerics::Fp32& fp = launch_.fp32;
  const Interval rescaled = times(fp, o, alpha);
  if (!is_finite(rescaled) || !is_finite(t))
    return plus(fp, rescaled, f == nullptr ? t : fp.multiply(t, *f));
  const Interval sum = attention::promoted(fp, rescaled, t, f);
  if (contraction_ == Contraction::none) return sum;
  if (f == nullptr) return hull(sum, fp.fused(o, alpha, t));
  return hull(hull(sum, fp.fused(o, alpha, fp.multiply(t, *f))), fp.fused(t, *f, rescaled));
}

void PvBounds::row_of_t(const Part& part, std::size_t row, std::span<const float> golden,
                        std::span<Interval> t) const {
  for (std::size_t j = 0; j < t.size(); ++j) t[j] = {golden[j], golden[j]};
  const RowP& p = part.p[row];
  const Flips flips(p, part.first, part.last);
  const std::span<const std::size_t> free = flips.columns();
  if (free.empty()) return;
  if (free.size() > kEnumerated || !p.ends_are_all || launch_.p_grouped ||
      launch_.recipe.p.format == numerics::FormatId::f32) {
    std::vector<double> around(t.size());
    deviation(part, row, flips, 0.0, around);
    for (std::size_t j = 0; j < t.size(); ++j)
      t[j] = std::isfinite(golden[j]) ? sums_.around(golden[j] - around[j], golden[j] + around[j])
                                      : beyond_range(part, row, j, 0.0f, around[j]);
    return;
  }
  const std::size_t keys = part.last - part.first;
  const std::size_t variants = std::size_t{1} << free.size();
  std::vector<float> choices, results(variants * t.size());
  for (std::size_t variant = 0; variant < variants; ++variant) {
    choices.insert(choices.end(), &p.cast_low[part.first], &p.cast_low[part.first] + keys);
    for (std::size_t bit = 0; bit < free.size(); ++bit)
      if (variant >> bit & 1)
        choices[variant * keys + free[bit] - part.first] = p.cast_high[free[bit]];
  }
  numerics::RowOperand rows;
  rows.pack(launch_.pv, numerics::row_major<const float>(choices.data(), variants, keys));
  numerics::chain(launch_.pv, rows, part.v(launch_), Start::absent,
                  numerics::row_major(results.data(), variants, t.size()));
  for (std::size_t e = 0; e < results.size(); ++e) {
    Interval& element = t[e % t.size()];
    element = {std::min(element.low, results[e]), std::max(element.high, results[e])};
  }
  for (std::size_t j = 0; j < t.size(); ++j)
    if (std::isinf(part.segment.v_max[j])) t[j] = beyond_range(part, row, j, 0.0f, 0.0);
}

/// Where the golden sum is no number, nothing can lie around it: the products whose v is Inf or NaN
/// decide, or else an infinite start, or else the exact sum, which may pass the largest number.
Interval PvBounds::beyond_range(const Part& part, std::size_t row, std::size_t channel,
                                Interval start, double around) const {
  const std::size_t keys = part.last - part.first;
  const auto v = launch_.head.v.view().rows_from(part.segment.keys.begin, keys);
  if (const auto infinite = infinite_products(part.p[row], part.first, v, channel))
    return plus(launch_.fp32, start, *infinite);
  if (is_infinite(start)) return start;
  if (std::isnan(start.low) || std::isnan(start.high)) return kAnything;
  double exact = 0;
  for (std::size_t n = 0; n < keys; ++n)
    exact += static_cast<double>(part.golden_p(row, n)) * v(n, channel);
  return sums_.around(exact + start.low - around, exact + start.high + around);
}

/// How far T of any legal P may lie from T of the golden one: the exact difference of the sums, and
/// the chain's error on both sides.
void PvBounds::deviation(const Part& part, std::size_t row, const Flips& flips, double start,
                         std::span<double> widths) const {
  const RowP& p = part.p[row];
  const LegalSums& sums = part.sums_of(row);
  if (!flips.counted()) {
    std::ranges::fill(widths, 0.0);
    for (const std::size_t n : flips.columns()) {
      const std::int64_t key = part.segment.keys.begin + static_cast<std::int64_t>(n - part.first);
      add_widths(static_cast<double>(p.cast_high[n]) - p.cast_low[n],
                 &launch_.head.v.values[key * launch_.channels], widths);
    }
  }
  chain_widths(
      chain_bound_,
      {.k = part.last - part.first, .a_max = sums.largest, .a_sum = sums.sum, .start = start},
      {.add_to_widths = !flips.counted(), .width = sums.width}, part.segment.v_max, widths);
}

void PvBounds::accumulate(const Part& part, const attention::BlockTap& tap, std::size_t visit,
                          std::size_t first_row, std::span<const Interval> alpha,
                          std::span<Interval> o) const {
  const std::size_t channels = launch_.channels;
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  std::vector<Interval> away(channels);
  FiniteRow memory(channels);
  std::vector<double> around(channels);
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    Interval* row = &o[i * channels];
    const float* golden = &tap.o[(visit * rows + first_row + i) * channels];
    const Flips flips(part.p[i], part.first, part.last);
    const bool fixed =
        alpha[i].is_point() && flips.size == 0 && std::all_of(row, row + channels, is_single);
    if (fixed) {
      for (std::size_t j = 0; j < channels; ++j) row[j] = {golden[j], golden[j]};
      continue;
    }
    // How far the accumulator the chain starts from may lie from the golden one, on either side:
    // the golden one is the last visit's times some legal alpha.
    double start = 0;
    const float* earlier = visit == 0 ? nullptr : golden - rows * channels;
    if (is_finite(alpha[i])) {
      const BegunRow begun =
          begin_row({alpha[i], launch_.fp32.subnormals}, {row, channels}, earlier, golden, memory);
      if (begun.finite) {
        deviation(part, i, flips, begun.largest, around);
        if (end_row(golden, around, sums_.largest(), memory, {row, channels})) continue;
      }
    }
    for (std::size_t j = 0; j < channels; ++j) {
      const float before = earlier == nullptr ? 0.0f : earlier[j];
      const Interval begun = launch_.fp32.multiply(Interval{before, before}, alpha[i]);
      row[j] = times(launch_.fp32, row[j], alpha[i]);
      away[j] = {numerics::rounded_up(static_cast<double>(begun.high) - row[j].low),
                 numerics::rounded_up(static_cast<double>(row[j].high) - begun.low)};
      for (const float end : {row[j].low, row[j].high})
        if (std::isfinite(end)) start = std::max<double>(start, std::abs(end));
    }
    deviation(part, i, flips, start, around);
    for (std::size_t j = 0; j < channels; ++j)
      row[j] = std::isfinite(golden[j]) && is_finite(row[j])
                   ? sums_.around(golden[j] - around[j] - away[j].low,
                                  golden[j] + around[j] + away[j].high)
                   : beyond_range(part, i, j, row[j], around[j]);
  }
}

}  // namespace karat::bounds
