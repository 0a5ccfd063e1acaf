// T by the real chain; its freedom by enumeration or by a worst-case bound.
#include "pv_bounds.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

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

/// Bits of a magnitude: in order as the magnitudes are, NaN and Inf last.
std::int32_t magnitude(float x) { return std::bit_cast<std::int32_t>(x) & 0x7FFFFFFF; }
constexpr std::int32_t kNotFinite = 0x7F800000;

std::vector<std::size_t> flips(const RowP& p, std::size_t begin, std::size_t end) {
  std::vector<std::size_t> columns;
  // Seldom any: first a loop without a branch, which also takes -0 beside +0 for one.
  const float *low = p.cast_low.data(), *high = p.cast_high.data();
  std::int32_t any = 0;
  for (std::size_t n = begin; n < end; ++n)
    any |= (std::bit_cast<std::int32_t>(low[n]) ^ std::bit_cast<std::int32_t>(high[n])) |
           (magnitude(low[n]) > kNotFinite);
  for (std::size_t n = begin; any != 0 && n < end; ++n)
    if (p.cast_low[n] != p.cast_high[n]) columns.push_back(n);
  return columns;
}

/// numerics::rounded_down() of finite x: with a branch, half of all would be guessed wrong.
float down(double x) {
  const auto y = static_cast<float>(x);
  const auto bits = std::bit_cast<std::int32_t>(y);
  const int too_large = y > x;
  return std::bit_cast<float>(bits - (-too_large & (bits >> 31 | 1)));
}
float up(double x) { return -down(-x); }

/// What is smaller than `least` becomes a zero of its sign.
float flushed(float y, float least) {
  const float sign = std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) & 0x80000000u);
  return std::abs(y) < least ? sign : y;
}

/// Fp32::multiply of a finite interval's ends and a factor that is not negative.
struct Products {
  Products(const numerics::Fp32& fp, Interval by)
      : factor(by),
        least(fp.subnormals == numerics::Subnormals::flush ? std::numeric_limits<float>::min()
                                                           : 0.0f) {}
  float low(float x) const { return flushed(x * (negative(x) ? factor.high : factor.low), least); }
  float high(float x) const { return flushed(x * (negative(x) ? factor.low : factor.high), least); }
  static bool negative(float x) { return std::bit_cast<std::int32_t>(x) < 0; }
  Interval factor;
  float least;
};

}  // namespace

/// One segment of a visited key block.
struct PvBounds::Part {
  const Segment& segment;
  std::span<const RowP> p;
  MatrixView<const float> golden_p;  ///< rows x keys of the segment
  const float* golden_t;             ///< rows x channels of golden_p V; null: not tapped
  std::size_t first;                 ///< first column within the visited block
  std::size_t last;
  mutable std::optional<numerics::ColumnOperand> packed = {};

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
                      std::span<Interval> o, GoldenT golden_t) const {
  const std::size_t width = tap.key_position.size();
  const auto column = static_cast<std::size_t>(tap.column_begin[visit]);
  const std::int64_t block_begin = launch_.layout.blocks.key_blocks[tap.key_block[visit]].begin;
  bool rescaled = false;
  const float* t = nullptr;
  if (golden_t == GoldenT::tapped && !tap.product_begin.empty())
    t = tap.t.data() + tap.product_begin[visit] * alpha.size() * launch_.channels;
  for (const Segment& segment : segments_[tap.key_block[visit]]) {
    const auto first = static_cast<std::size_t>(segment.keys.begin - block_begin);
    const auto keys = static_cast<std::size_t>(segment.keys.size());
    const Part part{segment, p,     {&tap.p[column + first], alpha.size(), keys, width, 1},
                    t,       first, first + keys};
    if (t != nullptr) t += alpha.size() * launch_.channels;
    if (launch_.recipe.pv.promote_every == 0) return accumulate(part, tap, visit, alpha, o);
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
  const bool unscaled = s_v.empty() && !launch_.p_scaled_by_rows;
  std::vector<Interval> t(channels);
  RowScratch scratch(channels);
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    row_of_t(part, i, {golden + i * channels, channels}, t);
    Interval* row = &o[i * channels];
    if (unscaled && promote_finite(alpha[i], t, scratch, {row, channels})) continue;
    for (std::size_t j = 0; j < channels; ++j) {
      Interval f = s_v.empty() ? 1.0f : s_v[j];
      if (launch_.p_scaled_by_rows) f = launch_.fp32.multiply(part.p[i].scale, f);
      const bool scaled = launch_.p_scaled_by_rows || !s_v.empty();
      row[j] = updated(row[j], alpha[i], t[j], scaled ? &f : nullptr);
    }
  }
}

bool PvBounds::promote_finite(Interval alpha, std::span<const Interval> t, RowScratch& scratch,
                              std::span<Interval> o) const {
  if (contraction_ != Contraction::none || !is_finite(alpha) || o.size() % 2 != 0) return false;
  // Ends in turn: a lower one takes the smaller factor unless it is negative.
  static_assert(sizeof(Interval) == 2 * sizeof(float));
  const float factor[] = {alpha.low, alpha.high, alpha.low, alpha.high};
  const float of_negative[] = {alpha.high, alpha.low, alpha.high, alpha.low};
  const float* from = &o.data()->low;
  const float* added = &t.data()->low;
  float* ends = scratch.ends.data();
  const float least = Products(launch_.fp32, alpha).least;
  std::int32_t largest = 0;
  for (std::size_t e = 0; e < 2 * o.size(); e += 4)
    for (std::size_t k = 0; k < 4; ++k) {
      const float x = from[e + k], by = Products::negative(x) ? of_negative[k] : factor[k];
      const float rescaled = flushed(x * by, least);
      largest = std::max(largest, std::max(magnitude(rescaled), magnitude(added[e + k])));
      ends[e + k] = flushed(rescaled + added[e + k], least);
    }
  if (largest >= kNotFinite) return false;
  std::memcpy(&o.data()->low, ends, 2 * o.size() * sizeof(float));
  return true;
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
  const std::vector<std::size_t> free = flips(p, part.first, part.last);
  if (free.empty()) return;
  if (free.size() > kEnumerated || !p.ends_are_all || launch_.p_grouped ||
      launch_.recipe.p.format == numerics::FormatId::f32) {
    std::vector<double> around(t.size());
    deviation(part, row, free, 0.0, around);
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
/// @param free  flips() of the row
void PvBounds::deviation(const Part& part, std::size_t row, std::span<const std::size_t> free,
                         double start, std::span<double> widths) const {
  const RowP& p = part.p[row];
  const std::size_t channels = launch_.channels;
  const std::vector<double>& v_max = part.segment.v_max;
  std::ranges::fill(widths, 0.0);
  double p_max = 0, p_sum = 0, width_sum = 0;
  for (std::size_t n = part.first; n < part.last; ++n) {
    p_max = std::max<double>(p_max, p.cast_high[n]);
    p_sum += p.cast_high[n];
    width_sum += static_cast<double>(p.cast_high[n]) - p.cast_low[n];
  }
  if (free.size() > kCounted) {
    for (std::size_t j = 0; j < channels; ++j) widths[j] = width_sum * v_max[j];
  } else {
    for (const std::size_t n : free) {
      const double width = static_cast<double>(p.cast_high[n]) - p.cast_low[n];
      const float* v =
          &launch_.head.v.values[(part.segment.keys.begin + n - part.first) * channels];
      for (std::size_t j = 0; j < channels; ++j) widths[j] += width * std::abs(v[j]);
    }
  }
  for (std::size_t j = 0; j < channels; ++j)
    widths[j] += 2 * chain_bound_.of_size({.k = part.last - part.first,
                                           .a_max = p_max,
                                           .b_max = v_max[j],
                                           .a_sum = p_sum,
                                           .start = start});
}

bool PvBounds::accumulate_finite(const Part& part, std::size_t row,
                                 std::span<const std::size_t> free, const float* earlier,
                                 const float* golden, Interval alpha, RowScratch& scratch,
                                 std::span<Interval> o) const {
  if (!is_finite(alpha)) return false;
  const std::size_t channels = o.size();
  float *low = scratch.low.data(), *high = scratch.high.data();
  float *away_low = scratch.away_low.data(), *away_high = scratch.away_high.data();
  double* around = scratch.around.data();
  const Products by_alpha(launch_.fp32, alpha);
  std::int32_t start = 0, largest = 0;
  for (std::size_t j = 0; j < channels; ++j) {
    const float before = earlier == nullptr ? 0.0f : earlier[j];
    low[j] = by_alpha.low(o[j].low);
    high[j] = by_alpha.high(o[j].high);
    away_low[j] = up(static_cast<double>(by_alpha.high(before)) - low[j]);
    away_high[j] = up(static_cast<double>(high[j]) - by_alpha.low(before));
    start = std::max(start, std::max(magnitude(low[j]), magnitude(high[j])));
    largest = std::max(largest, std::max(magnitude(before), magnitude(golden[j])));
  }
  if (std::max(start, largest) >= kNotFinite) return false;
  deviation(part, row, free, static_cast<double>(std::bit_cast<float>(start)), scratch.around);
  const double most = sums_.largest();
  int beyond = 0;
  for (std::size_t j = 0; j < channels; ++j) {
    const double least_sum = golden[j] - around[j] - away_low[j];
    const double largest_sum = golden[j] + around[j] + away_high[j];
    low[j] = down(least_sum);
    high[j] = up(largest_sum);
    beyond |= static_cast<int>(!(std::abs(least_sum) <= most)) |
              static_cast<int>(!(std::abs(largest_sum) <= most));
  }
  if (beyond != 0) return false;
  for (std::size_t j = 0; j < channels; ++j) o[j] = {low[j], high[j]};
  return true;
}

void PvBounds::accumulate(const Part& part, const attention::BlockTap& tap, std::size_t visit,
                          std::span<const Interval> alpha, std::span<Interval> o) const {
  const std::size_t channels = launch_.channels;
  const std::size_t rows = alpha.size();
  std::vector<Interval> away(channels);
  RowScratch scratch(channels);
  std::vector<double>& around = scratch.around;
  for (std::size_t i = 0; i < rows; ++i) {
    Interval* row = &o[i * channels];
    const float* golden = &tap.o[(visit * rows + i) * channels];
    const std::vector<std::size_t> free = flips(part.p[i], part.first, part.last);
    const bool fixed =
        alpha[i].is_point() && free.empty() && std::all_of(row, row + channels, is_single);
    if (fixed) {
      for (std::size_t j = 0; j < channels; ++j) row[j] = {golden[j], golden[j]};
      continue;
    }
    // How far the accumulator the chain starts from may lie from the golden one, on either side:
    // the golden one is the last visit's times some legal alpha.
    double start = 0;
    const float* earlier = visit == 0 ? nullptr : &tap.o[((visit - 1) * rows + i) * channels];
    if (accumulate_finite(part, i, free, earlier, golden, alpha[i], scratch, {row, channels}))
      continue;
    for (std::size_t j = 0; j < channels; ++j) {
      const float before = earlier == nullptr ? 0.0f : earlier[j];
      const Interval begun = launch_.fp32.multiply(Interval{before, before}, alpha[i]);
      row[j] = times(launch_.fp32, row[j], alpha[i]);
      away[j] = {numerics::rounded_up(static_cast<double>(begun.high) - row[j].low),
                 numerics::rounded_up(static_cast<double>(row[j].high) - begun.low)};
      for (const float end : {row[j].low, row[j].high})
        if (std::isfinite(end)) start = std::max<double>(start, std::abs(end));
    }
    deviation(part, i, free, start, around);
    for (std::size_t j = 0; j < channels; ++j)
      row[j] = std::isfinite(golden[j]) && is_finite(row[j])
                   ? sums_.around(golden[j] - around[j] - away[j].low,
                                  golden[j] + around[j] + away[j].high)
                   : beyond_range(part, i, j, row[j], around[j]);
  }
}

}  // namespace karat::bounds
