// Two-level bootstrap and Student's t.
#include "karat/study/statistics.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "karat/numerics/functions/elementary.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::study {
namespace {

constexpr std::uint64_t kStream = 0x626F6F7400000000;

/// Uniform whole numbers, one after the other.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::size_t below(std::size_t count) {
    return static_cast<std::size_t>(numerics::random_uniform(seed_, kStream, next_++) *
                                    static_cast<double>(count));
  }

 private:
  std::uint64_t seed_, next_ = 0;
};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double resampled_mean(const std::vector<double>& values, Dice& dice) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += values[dice.below(values.size())];
  return sum / static_cast<double>(values.size());
}

}  // namespace

double student_t95(int degrees) {
  // Quantiles 0.975 of Student's t for 1 to 30 degrees; beyond, the Cornish-Fisher expansion.
  constexpr std::array kTable{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                              2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                              2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                              2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
  if (degrees <= std::ssize(kTable)) return kTable[degrees - 1];
  constexpr double z = 1.959964;
  constexpr double z3 = z * z * z, z5 = z3 * z * z;
  const double n = degrees;
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n);
}

Interval bootstrap_mean(std::span<const Observation> observations, std::uint64_t seed,
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
  const double value = mean_of(means);
  const auto n = static_cast<int>(clusters.size());
  const int units = n > 1 ? n : static_cast<int>(clusters.front().size());
  Interval interval{.value = value,
                    .low = value,
                    .high = value,
                    .clusters = n,
                    .cells = static_cast<int>(observations.size())};
  if (units < 2) {
    interval.low = -std::numeric_limits<double>::infinity();
    interval.high = std::numeric_limits<double>::infinity();
    return interval;
  }
  Dice dice(seed);
  double sum = 0, squares = 0;
  for (int r = 0; r < replicates; ++r) {
    double total = 0;
    for (int i = 0; i < n; ++i)
      total += resampled_mean(clusters[n > 1 ? dice.below(clusters.size()) : 0], dice);
    const double deviation = total / n - value;
    sum += deviation;
    squares += deviation * deviation;
  }
  const double variance = squares / replicates - (sum / replicates) * (sum / replicates);
  const double error = std::sqrt(std::max(0.0, variance) * units / (units - 1));
  interval.low = value - student_t95(units - 1) * error;
  interval.high = value + student_t95(units - 1) * error;
  return interval;
}

Interval bootstrap_geometric_mean(std::span<const Observation> observations, std::uint64_t seed,
                                  int replicates) {
  std::vector<Observation> logs(observations.begin(), observations.end());
  for (Observation& o : logs) o.value = numerics::ln_f64(o.value);
  Interval interval = bootstrap_mean(logs, seed, replicates);
  for (double* end : {&interval.value, &interval.low, &interval.high})
    *end = std::isfinite(*end) ? numerics::exp_f64(*end) : *end > 0 ? *end : 0;
  return interval;
}

}  // namespace karat::study
