// Resampled means and the intervals around them.
#include "karat/statistics/bootstrap.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/functions/elementary.hpp"
#include "karat/numerics/random/dice.hpp"
#include "karat/statistics/student.hpp"

namespace karat::statistics {
namespace {

constexpr std::uint64_t kStream = 0x626F6F7400000000;
constexpr double kOutside = 0.025;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Distances of the resampled statistics from the statistic itself.
class Deviations {
 public:
  void add(double deviation) {
    sum_ += deviation;
    squares_ += deviation * deviation;
    ++count_;
  }
  double mean_square() const { return squares_ / count_; }
  double variance() const {
    return std::max(0.0, mean_square() - (sum_ / count_) * (sum_ / count_));
  }

 private:
  double sum_ = 0, squares_ = 0;
  int count_ = 0;
};

Interval around(double centre, double variance, std::size_t units) {
  const auto n = static_cast<double>(units);
  const double error = std::sqrt(variance * n / (n - 1));
  const double reach = student_t95(static_cast<int>(units) - 1) * error;
  return {centre - reach, centre + reach};
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double resampled_mean(const std::vector<double>& values, numerics::Dice& dice) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += values[dice.below(values.size())];
  return sum / static_cast<double>(values.size());
}

double drawn_mean(std::span<const double> values, std::span<const int> counts) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += counts[i] * values[i];
  return sum / static_cast<double>(values.size());
}

double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

Average bootstrap_mean(std::span<const Observation> observations, std::uint64_t seed,
                       int replicates) {
  if (observations.empty())
    throw Error(ErrorKind::usage, "interval", "there is nothing to average", "measure a cell");
  std::map<int, std::vector<double>> by_cluster;
  for (const Observation& o : observations) by_cluster[o.cluster].push_back(o.value);
  std::vector<std::vector<double>> clusters;
  std::vector<double> means;
  for (auto& [cluster, values] : by_cluster) {
    means.push_back(mean_of(values));
    clusters.push_back(std::move(values));
  }
  const std::size_t n = clusters.size(), units = n > 1 ? n : clusters.front().size();
  Average average{.value = mean_of(means),
                  .low = -kInfinity,
                  .high = kInfinity,
                  .clusters = static_cast<int>(n),
                  .cells = static_cast<int>(observations.size())};
  if (units < 2) return average;
  numerics::Dice dice(seed, kStream);
  Deviations deviations;
  for (int r = 0; r < replicates; ++r) {
    double total = 0;
    for (std::size_t i = 0; i < n; ++i)
      total += resampled_mean(clusters[n > 1 ? dice.below(n) : 0], dice);
    deviations.add(total / static_cast<double>(n) - average.value);
  }
  const Interval interval = around(average.value, deviations.variance(), units);
  average.low = interval.low;
  average.high = interval.high;
  return average;
}

Average bootstrap_geometric_mean(std::span<const Observation> observations, std::uint64_t seed,
                                 int replicates) {
  std::vector<Observation> logs(observations.begin(), observations.end());
  for (Observation& o : logs) o.value = numerics::ln_f64(o.value);
  Average average = bootstrap_mean(logs, seed, replicates);
  for (double* end : {&average.value, &average.low, &average.high})
    *end = std::isfinite(*end) ? numerics::exp_f64(*end) : *end > 0 ? *end : 0;
  return average;
}

Resamples::Resamples(int units, int resamples, std::uint64_t seed) {
  if (units < 2) return;
  const auto n = static_cast<std::size_t>(units);
  counts_.assign(static_cast<std::size_t>(resamples), std::vector<int>(n, 0));
  for (std::size_t r = 0; r < counts_.size(); ++r) {
    numerics::Dice dice(seed, r);
    for (std::size_t i = 0; i < n; ++i) ++counts_[r][dice.below(n)];
  }
}

std::optional<Interval> Resamples::interval(std::span<const double> values) const {
  if (counts_.empty()) return {};
  const double mean = mean_of(values);
  Deviations deviations;
  for (const std::vector<int>& counts : counts_) deviations.add(drawn_mean(values, counts) - mean);
  return around(mean, deviations.mean_square(), values.size());
}

std::optional<Interval> Resamples::ratio_interval(std::span<const double> a,
                                                  std::span<const double> b) const {
  if (counts_.empty() || !(mean_of(a) > 0) || !(mean_of(b) > 0)) return {};
  const double centre = std::log(mean_of(a) / mean_of(b));
  Deviations deviations;
  for (const std::vector<int>& counts : counts_) {
    const double above = drawn_mean(a, counts), below = drawn_mean(b, counts);
    if (!(above > 0) || !(below > 0)) return {};
    deviations.add(std::log(above / below) - centre);
  }
  const Interval logs = around(centre, deviations.mean_square(), a.size());
  return Interval{std::exp(logs.low), std::exp(logs.high)};
}

Interval middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {quantile(values, kOutside), quantile(values, 1 - kOutside)};
}

}  // namespace karat::statistics
