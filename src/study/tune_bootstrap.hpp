// Bootstrap over seeds for the tuner: how far a mean over few seeds may lie from the truth.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "karat/study/tune_run.hpp"

namespace karat::study {

/// Draws of as many seeds as there are, with replacement.
class SeedBootstrap {
 public:
  SeedBootstrap(int seeds, int resamples, std::uint64_t seed);
  int resamples() const { return static_cast<int>(counts_.size()); }
  /// How often a resample draws each seed.
  std::span<const int> counts(int resample) const {
    return counts_[static_cast<std::size_t>(resample)];
  }
  /// Mean -/+ t x the spread of the resampled means x sqrt(n / (n - 1)), n seeds (a resample has
  /// 1 - 1/n of their variance), t Student's 95 % of n - 1 degrees. Nothing for a single seed.
  std::optional<SeedInterval> interval(std::span<const double> values) const;
  /// Of mean(a) / mean(b), the same seeds drawn for both: the same with logarithms of the ratio.
  /// Nothing for a single seed, or where a mean is 0.
  std::optional<SeedInterval> ratio_interval(std::span<const double> a,
                                             std::span<const double> b) const;

 private:
  double drawn_mean(std::span<const double> values, std::span<const int> counts) const;
  /// Spread of the resamples' deviations, widened.
  SeedInterval around(double centre, double squares, std::size_t seeds) const;
  std::vector<std::vector<int>> counts_;
};

/// The middle 95 % of values, between order statistics.
SeedInterval middle(std::vector<double> values);

}  // namespace karat::study
