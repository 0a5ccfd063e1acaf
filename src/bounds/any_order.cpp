// Exact sums in FP64 and gamma_n around them.
#include "any_order.hpp"

#include <algorithm>
#include <cmath>

#include "non_finite.hpp"

namespace karat::bounds {

double rounding_share(Summation summation, double roundings) {
  constexpr double u = 0x1p-24;
  if (summation == Summation::likely) {
    constexpr double lambda = 5.3867;  // sqrt(2 ln(2e6)), rounded up
    return std::expm1(lambda * std::sqrt(roundings) * u + roundings * u * u);
  }
  return roundings * u / (1 - roundings * u);
}

bool pv_reordered(const FreeLaunch& free) {
  return free.freedom.summation != Summation::fixed && numerics::k_group(free.launch.pv) == 1;
}

ReorderedPv::ReorderedPv(const FreeLaunch& free, std::size_t rows)
    : launch_(free.launch),
      summation_(free.freedom.summation),
      scale_(1),
      exact_(rows * launch_.channels),
      spread_(rows * launch_.channels),
      magnitude_(rows * launch_.channels),
      terms_(rows),
      rescalings_(rows) {
  if (launch_.v_scaled_per_block)
    for (const float scale : launch_.head.v.scales) scale_ = std::max<double>(scale_, scale);
}

void ReorderedPv::rescale(std::size_t row, Interval alpha) {
  if (alpha.low == 1 && alpha.high == 1) return;
  ++rescalings_[row];
  const double middle = (static_cast<double>(alpha.low) + alpha.high) / 2;
  const double half = (static_cast<double>(alpha.high) - alpha.low) / 2;
  for (std::size_t e = row * launch_.channels; e < (row + 1) * launch_.channels; ++e) {
    spread_[e] = spread_[e] * alpha.high + std::abs(exact_[e]) * half;
    exact_[e] *= middle;
    magnitude_[e] *= alpha.high;
  }
}

/// Elements with an Inf or NaN among their v leave the exact sums.
void ReorderedPv::absorb_infinite(video::Range keys, std::span<const Interval> alpha,
                                  std::span<const RowP> p) {
  const std::size_t channels = launch_.channels;
  const auto v = launch_.head.v.view().rows_from(keys.begin, keys.size());
  const auto is_number = [](float x) { return std::isfinite(x); };
  if (infinite_.empty()) {
    if (std::all_of(v.data, v.data + keys.size() * channels, is_number)) return;
    infinite_.resize(exact_.size());
  }
  for (std::size_t i = 0; i < alpha.size(); ++i)
    for (std::size_t j = 0; j < channels; ++j) {
      Interval& sum = infinite_[i * channels + j];
      sum = times(launch_.fp32, sum, alpha[i]);
      if (const auto products = infinite_products(p[i], 0, v, j))
        sum = plus(launch_.fp32, sum, *products);
    }
}

void ReorderedPv::absorb(const attention::BlockTap& tap, std::size_t visit,
                         std::span<const Interval> alpha, std::span<const RowP> p) {
  const std::size_t channels = launch_.channels;
  const video::Range keys = launch_.layout.blocks.key_blocks[tap.key_block[visit]];
  absorb_infinite(keys, alpha, p);
  std::vector<double> v(keys.size() * channels), v_size(v.size());
  for (std::size_t e = 0; e < v.size(); ++e) {
    const std::int64_t key = keys.begin + static_cast<std::int64_t>(e / channels);
    v[e] = launch_.head.v.values[keys.begin * channels + e];
    if (launch_.v_scaled_per_block) v[e] *= launch_.head.v.scale(key, e % channels);
    v_size[e] = std::abs(v[e]);
  }
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    rescale(i, alpha[i]);
    for (std::size_t n = 0; n < p[i].cast_high.size(); ++n) {
      const double low = double{p[i].cast_low[n]} * p[i].scale.low;
      const double high = double{p[i].cast_high[n]} * p[i].scale.high;
      if (high == 0) continue;
      ++terms_[i];
      add(i, (low + high) / 2, (high - low) / 2, high, &v[n * channels], &v_size[n * channels]);
    }
  }
}

void ReorderedPv::add(std::size_t row, double middle, double half, double high, const double* v,
                      const double* v_size) {
  double* exact = &exact_[row * launch_.channels];
  double* spread = &spread_[row * launch_.channels];
  double* magnitude = &magnitude_[row * launch_.channels];
  for (std::size_t j = 0; j < launch_.channels; ++j) {
    exact[j] += middle * v[j];
    spread[j] += half * v_size[j];
    magnitude[j] += high * v_size[j];
  }
}

void ReorderedPv::store(std::span<Interval> o) const {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    // terms - 1 additions, a product and a scale of their own, the rescalings; one for FP64 here,
    // one for the factor where P's row has a scale too
    const double steps =
        static_cast<double>(terms_[i] + rescalings_[i] + 2 + launch_.p_scaled_by_rows);
    const double share = rounding_share(summation_, steps);
    const double lost = scale_ * static_cast<double>(terms_[i]) * steps * 0x1p-125;
    for (std::size_t e = i * launch_.channels; e < (i + 1) * launch_.channels; ++e) {
      if (!infinite_.empty() && !is_finite(infinite_[e])) {
        o[e] = infinite_[e];
        continue;
      }
      const double room = spread_[e] + share * magnitude_[e] + lost;
      o[e] = {numerics::rounded_down(exact_[e] - room), numerics::rounded_up(exact_[e] + room)};
    }
  }
}

}  // namespace karat::bounds
