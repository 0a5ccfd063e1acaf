// The loops one channel after the other, which finish what whole vectors leave.
#include "finite_rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "finite_lanes.hpp"

namespace karat::bounds {
namespace {

using numerics::Fp32;
using numerics::Interval;
using numerics::Path;

static_assert(sizeof(Interval) == 2 * sizeof(float));
const float* pairs_of(std::span<const Interval> x) { return x.empty() ? nullptr : &x.data()->low; }

lanes::Factors factors_of(Rescaling by) {
  const bool flush = by.subnormals == numerics::Subnormals::flush;
  return {by.alpha.low, by.alpha.high, flush ? std::numeric_limits<float>::min() : 0.0f};
}

bool finite_bits(const lanes::LargestBits& largest) {
  constexpr std::int32_t kNotFinite = 0x7F800000;
  return std::max(largest.rescaled, largest.other) < kNotFinite;
}
void enlarge(std::int32_t& largest, std::initializer_list<float> numbers) {
  for (const float x : numbers)
    largest = std::max(largest, std::bit_cast<std::int32_t>(x) & 0x7FFFFFFF);
}
void enlarge(std::int32_t& largest, Interval x) { enlarge(largest, {x.low, x.high}); }

}  // namespace

void rescale_row(Rescaling by, std::span<Interval> o, Path path) {
  std::size_t j = 0;
  if (path == Path::fast) j = lanes::rescale(factors_of(by), &o.data()->low, o.size());
  for (; j < o.size(); ++j) o[j] = Fp32{by.subnormals}.multiply(o[j], by.alpha);
}

bool promote_row(Rescaling by, std::span<const Interval> t, std::span<const Interval> f,
                 FiniteRow& row, std::span<Interval> o, Path path) {
  const Fp32 fp{by.subnormals};
  lanes::LargestBits largest;
  std::size_t j = 0;
  if (path == Path::fast)
    j = lanes::promote(factors_of(by), pairs_of(o), pairs_of(t), pairs_of(f), row.ends.data(),
                       o.size(), largest);
  for (; j < o.size(); ++j) {
    const Interval rescaled = fp.multiply(o[j], by.alpha);
    enlarge(largest.rescaled, rescaled);
    enlarge(largest.other, t[j]);
    if (!f.empty()) enlarge(largest.other, f[j]);
    const Interval sum = fp.add(rescaled, f.empty() ? t[j] : fp.multiply(t[j], f[j]));
    row.ends[2 * j] = sum.low;
    row.ends[2 * j + 1] = sum.high;
  }
  if (!finite_bits(largest)) return false;
  std::memcpy(&o.data()->low, row.ends.data(), 2 * o.size() * sizeof(float));
  return true;
}

BegunRow begin_row(Rescaling by, std::span<const Interval> o, const float* earlier,
                   const float* golden, FiniteRow& row, Path path) {
  const Fp32 fp{by.subnormals};
  lanes::LargestBits largest;
  std::size_t j = 0;
  if (path == Path::fast)
    j = lanes::begin(factors_of(by), pairs_of(o), earlier, golden, row, o.size(), largest);
  for (; j < o.size(); ++j) {
    const float before = earlier == nullptr ? 0.0f : earlier[j];
    const Interval begun = fp.multiply(Interval(before), by.alpha);
    const Interval rescaled = fp.multiply(o[j], by.alpha);
    row.low[j] = rescaled.low;
    row.high[j] = rescaled.high;
    row.away_low[j] = numerics::rounded_up(static_cast<double>(begun.high) - rescaled.low);
    row.away_high[j] = numerics::rounded_up(static_cast<double>(rescaled.high) - begun.low);
    enlarge(largest.rescaled, rescaled);
    enlarge(largest.other, {before, golden[j]});
  }
  return {finite_bits(largest), std::bit_cast<float>(largest.rescaled)};
}

bool end_row(const float* golden, std::span<const double> around, double most, FiniteRow& row,
             std::span<Interval> o, Path path) {
  bool beyond = false;
  std::size_t j = 0;
  if (path == Path::fast) j = lanes::end(golden, around.data(), most, row, o.size(), beyond);
  for (; j < o.size(); ++j) {
    const double least = golden[j] - around[j] - row.away_low[j];
    const double largest = golden[j] + around[j] + row.away_high[j];
    row.ends[2 * j] = numerics::rounded_down(least);
    row.ends[2 * j + 1] = numerics::rounded_up(largest);
    beyond |= !(std::abs(least) <= most) || !(std::abs(largest) <= most);
  }
  if (beyond) return false;
  std::memcpy(&o.data()->low, row.ends.data(), 2 * o.size() * sizeof(float));
  return true;
}

void chain_widths(const ChainBound& bound, ChainSize size, SumOfWidths sum,
                  std::span<const double> v_max, std::span<double> widths, Path path) {
  const ChainError error = bound.error(size);
  std::size_t j = 0;
  if (path == Path::fast) j = lanes::widths(error, sum, v_max.data(), widths.data(), widths.size());
  for (; j < widths.size(); ++j) {
    const double begun = sum.add_to_widths ? widths[j] : sum.width * v_max[j];
    widths[j] = begun + 2 * error.of(v_max[j]);
  }
}

void add_widths(double width, const float* v, std::span<double> widths, Path path) {
  std::size_t j = 0;
  if (path == Path::fast) j = lanes::add_widths(width, v, widths.data(), widths.size());
  for (; j < widths.size(); ++j) widths[j] += width * std::abs(v[j]);
}

void legal_sums(std::span<const RowEnds> rows, std::size_t columns, std::span<LegalSums> sums,
                Path path) {
  const std::size_t done = path == Path::fast ? lanes::legal_sums(rows, columns, sums) : 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // Which of two NaN a sum keeps is the definition's.
    if (i < done && std::isfinite(sums[i].sum) && std::isfinite(sums[i].width)) continue;
    sums[i] = {};
    lanes::add_columns(rows[i], 0, columns, sums[i]);
  }
}

}  // namespace karat::bounds
