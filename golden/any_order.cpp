// Exact sums in FP64 and gamma_n around them.
#include "any_order.hpp"

#include <algorithm>
#include <cmath>

#include "pv_bounds.hpp"

namespace karat::golden {

float rounded_down(double x) {
  const auto y = static_cast<float>(x);
  return y > x ? std::nextafter(y, -std::numeric_limits<float>::infinity()) : y;
}

float rounded_up(double x) { return -rounded_down(-x); }

double rounding_share(Summation summation, double roundings) {
  constexpr double u = 0x1p-24;
  if (summation == Summation::likely) {
    constexpr double lambda = 5.3867;  // sqrt(2 ln(2e6)), rounded up
    return std::expm1(lambda * std::sqrt(roundings) * u + roundings * u * u);
  }
  return roundings * u / (1 - roundings * u);
}

bool pv_reordered(const recipe::Recipe& recipe, const Freedom& freedom) {
  return freedom.summation != Summation::fixed &&
         numerics::k_group(numerics::instruction(recipe.pv.instruction)) == 1;
}

ReorderedPv::ReorderedPv(const attention::Layout& layout, const attention::QuantisedHead& head,
                         Summation summation, std::size_t rows)
    : layout_(layout),
      head_(head),
      summation_(summation),
      scale_(1),
      sums_(rows * layout.channels),
      terms_(rows),
      rescalings_(rows) {
  if (v_scaled_per_block(head))
    for (const float scale : head.v.scales) scale_ = std::max<double>(scale_, scale);
}

void ReorderedPv::absorb(const attention::BlockTap& tap, std::size_t visit,
                         std::span<const Interval> alpha, std::span<const RowP> p) {
  const std::size_t channels = layout_.channels;
  const std::int64_t begin = layout_.blocks.key_blocks[tap.key_block[visit]].begin;
  const bool scaled = v_scaled_per_block(head_);
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    Sum* row = &sums_[i * channels];
    if (alpha[i].low != 1 || alpha[i].high != 1) {
      ++rescalings_[i];
      for (std::size_t j = 0; j < channels; ++j) {
        row[j].low *= row[j].low < 0 ? alpha[i].high : alpha[i].low;
        row[j].high *= row[j].high < 0 ? alpha[i].low : alpha[i].high;
        row[j].magnitude *= alpha[i].high;
      }
    }
    for (std::size_t n = 0; n < p[i].cast_high.size(); ++n) {
      const double low = p[i].cast_low[n], high = p[i].cast_high[n];
      if (high == 0) continue;
      ++terms_[i];
      const std::int64_t key = begin + static_cast<std::int64_t>(n);
      const float* v = &head_.v.values[key * channels];
      const double scale = scaled ? head_.v.scale(key, 0) : 1.0;
      for (std::size_t j = 0; j < channels; ++j) {
        const double value = v[j] * scale;
        row[j].low += (value < 0 ? high : low) * value;
        row[j].high += (value < 0 ? low : high) * value;
        row[j].magnitude += high * std::abs(value);
      }
    }
  }
}

void ReorderedPv::store(std::span<Interval> o) const {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    // terms - 1 additions, a product and a scale of their own, the rescalings; one for FP64 here
    const double steps = static_cast<double>(terms_[i] + rescalings_[i] + 2);
    const double share = rounding_share(summation_, steps);
    const double lost = scale_ * static_cast<double>(terms_[i]) * steps * 0x1p-125;
    for (std::size_t j = 0; j < layout_.channels; ++j) {
      const Sum& sum = sums_[i * layout_.channels + j];
      const double room = share * sum.magnitude + lost;
      o[i * layout_.channels + j] = {rounded_down(sum.low - room), rounded_up(sum.high + room)};
    }
  }
}

}  // namespace karat::golden
