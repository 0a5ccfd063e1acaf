// The squared distance of a row from the golden one.
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "same_value.hpp"

namespace karat::golden {

inline double squared(double x) { return x * x; }

/// (a - b)^2; 0 for values that are the same, Inf where only one of them is finite.
inline double squared_distance(float a, float b) {
  if (same_value(a, b)) return 0;
  const double d = squared(static_cast<double>(a) - b);
  return std::isfinite(d) ? d : std::numeric_limits<double>::infinity();
}

struct Deviation {
  double row = 0;    ///< sum of squares / size
  double value = 0;  ///< largest square * channels / size
};
/// @param size  the golden row's sum of squares, as sizes_of() has it
inline Deviation deviation(std::span<const float> row, std::span<const float> golden, double size) {
  Deviation result;
  for (std::size_t j = 0; j < golden.size(); ++j) {
    const double d = squared_distance(row[j], golden[j]) / size;
    result.row += d;
    result.value = std::max(result.value, d * static_cast<double>(golden.size()));
  }
  return result;
}

/// Sums of squares of rows, small ones counted as 2^-20 of their mean.
inline std::vector<double> sizes_of(std::span<const float> rows, std::size_t channels) {
  std::vector<double> sizes(rows.size() / channels, 0.0);
  double sum = 0;
  for (std::size_t e = 0; e < rows.size(); ++e)
    if (std::isfinite(rows[e])) sizes[e / channels] += squared(rows[e]);
  for (const double size : sizes) sum += size;
  const double least = std::max(0x1p-20 * sum / static_cast<double>(sizes.size()),
                                std::numeric_limits<double>::min());
  for (double& size : sizes) size = std::max(size, least);
  return sizes;
}

}  // namespace karat::golden
