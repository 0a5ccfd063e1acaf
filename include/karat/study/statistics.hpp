// Intervals over prompts and cells.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace karat::study {

/// Two-sided 95 % quantile of Student's t; 1.96 in the limit. @pre degrees >= 1
double student_t95(int degrees);

/// An average with its 95 % interval.
struct Interval {
  double value = 0, low = 0, high = 0;
  int clusters = 0;  ///< prompts behind it
  int cells = 0;
};

/// One value of one cell, belonging to a prompt.
struct Observation {
  int cluster = 0;
  double value = 0;
};

/// Mean of the prompts' means. The standard error comes from a bootstrap over prompts, then over the
/// cells of each drawn prompt (`replicates` draws by Philox of `seed`), widened by sqrt(n/(n-1)), and
/// is multiplied by Student's t of n-1 degrees, n the number of prompts. With one prompt its cells are
/// resampled alone, and the interval speaks about that prompt.
/// @throws Error(usage) without observations
Interval bootstrap_mean(std::span<const Observation> observations, std::uint64_t seed,
                        int replicates = 1000);

/// The same of logarithms: geometric mean, and an interval that is symmetric as a factor. Values are
/// positive.
Interval bootstrap_geometric_mean(std::span<const Observation> observations, std::uint64_t seed,
                                  int replicates = 1000);

}  // namespace karat::study
