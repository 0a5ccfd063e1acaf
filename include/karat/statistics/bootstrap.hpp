// The bootstrap: how far a mean over few prompts may lie from the mean over all.
//
// Every interval here is centre -/+ t * sqrt(V * n / (n - 1)): V is the variance of the resampled
// statistic, n the number of independent units (a resample of n has 1 - 1/n of their variance), t
// Student's 95 % of n - 1 degrees.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace karat::statistics {

/// 95 % unless said otherwise.
struct Interval {
  double low = 0, high = 0;
};

/// A mean with its 95 % interval.
struct Average {
  double value = 0, low = 0, high = 0;
  int clusters = 0;  ///< prompts behind it
  int cells = 0;
};

/// One value of one cell, belonging to a prompt.
struct Observation {
  int cluster = 0;
  double value = 0;
};

/// Mean of the prompts' means. A resample draws prompts, then the cells of each drawn prompt;
/// `replicates` draws by Philox of `seed`. The units are the prompts. With one prompt its cells are
/// resampled alone, and the interval speaks about that prompt; one cell has an infinite interval.
/// @throws Error(usage) without observations
Average bootstrap_mean(std::span<const Observation> observations, std::uint64_t seed,
                       int replicates = 1000);

/// The same of logarithms: geometric mean, and an interval that is symmetric as a factor. Values
/// are positive.
Average bootstrap_geometric_mean(std::span<const Observation> observations, std::uint64_t seed,
                                 int replicates = 1000);

/// The same resamples of one value per unit, for statistics that are compared with each other:
/// draws of as many units as there are, with replacement.
class Resamples {
 public:
  /// No resamples for a single unit.
  Resamples(int units, int resamples, std::uint64_t seed);
  int count() const { return static_cast<int>(counts_.size()); }
  /// How often a resample draws each unit.
  std::span<const int> counts(int resample) const {
    return counts_[static_cast<std::size_t>(resample)];
  }
  /// Of the mean. Nothing for a single unit.
  std::optional<Interval> interval(std::span<const double> values) const;
  /// Of mean(a) / mean(b), the same units drawn for both; symmetric as a factor. Nothing for a
  /// single unit, or where a mean is 0.
  std::optional<Interval> ratio_interval(std::span<const double> a,
                                         std::span<const double> b) const;

 private:
  std::vector<std::vector<int>> counts_;
};

/// The middle 95 % of values, between order statistics.
Interval middle(std::vector<double> values);

}  // namespace karat::statistics
