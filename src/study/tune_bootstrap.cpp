// Resampled seeds.
#include "tune_bootstrap.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/random/philox.hpp"
#include "karat/study/statistics.hpp"

namespace karat::study {
namespace {

constexpr double kOutside = 0.025;

double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

SeedBootstrap::SeedBootstrap(int seeds, int resamples, std::uint64_t seed) {
  if (seeds < 2) return;
  counts_.assign(static_cast<std::size_t>(resamples),
                 std::vector<int>(static_cast<std::size_t>(seeds), 0));
  for (std::size_t b = 0; b < counts_.size(); ++b)
    for (int i = 0; i < seeds; ++i) {
      const double draw = numerics::random_uniform(seed, b, static_cast<std::uint64_t>(i));
      ++counts_[b][static_cast<std::size_t>(draw * seeds)];
    }
}

double SeedBootstrap::drawn_mean(std::span<const double> values,
                                 std::span<const int> counts) const {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += counts[i] * values[i];
  return sum / static_cast<double>(values.size());
}

SeedInterval SeedBootstrap::around(double centre, double squares, std::size_t seeds) const {
  const double n = static_cast<double>(seeds);
  const double error = std::sqrt(squares / static_cast<double>(counts_.size()) * n / (n - 1));
  const double reach = student_t95(static_cast<int>(seeds) - 1) * error;
  return {centre - reach, centre + reach};
}

std::optional<SeedInterval> SeedBootstrap::interval(std::span<const double> values) const {
  if (counts_.empty()) return {};
  const std::vector<int> once(values.size(), 1);
  const double mean = drawn_mean(values, once);
  double squares = 0;
  for (const std::vector<int>& counts : counts_) {
    const double deviation = drawn_mean(values, counts) - mean;
    squares += deviation * deviation;
  }
  return around(mean, squares, values.size());
}

std::optional<SeedInterval> SeedBootstrap::ratio_interval(std::span<const double> a,
                                                          std::span<const double> b) const {
  if (counts_.empty()) return {};
  const std::vector<int> once(a.size(), 1);
  if (!(drawn_mean(a, once) > 0) || !(drawn_mean(b, once) > 0)) return {};
  const double centre = std::log(drawn_mean(a, once) / drawn_mean(b, once));
  double squares = 0;
  for (const std::vector<int>& counts : counts_) {
    const double above = drawn_mean(a, counts), below = drawn_mean(b, counts);
    if (!(above > 0) || !(below > 0)) return {};
    const double deviation = std::log(above / below) - centre;
    squares += deviation * deviation;
  }
  const SeedInterval logs = around(centre, squares, a.size());
  return SeedInterval{std::exp(logs.low), std::exp(logs.high)};
}

SeedInterval middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {quantile(values, kOutside), quantile(values, 1 - kOutside)};
}

}  // namespace karat::study
