// Rows of outputs and the squares of their differences.
#pragma once

#include <span>
#include <vector>

namespace karat::study {

/// rows x channels in f64.
using Rows = std::vector<double>;

/// Per row the sum over channels of (a - b)^2.
inline std::vector<double> squares(const Rows& a, const Rows& b, std::size_t channels) {
  std::vector<double> sums(a.size() / channels, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double e = a[i] - b[i];
    sums[i / channels] += e * e;
  }
  return sums;
}

inline std::vector<double> squares(const Rows& a, std::size_t channels) {
  std::vector<double> sums(a.size() / channels, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i) sums[i / channels] += a[i] * a[i];
  return sums;
}

/// x*a + y*b.
inline Rows combined(double x, const Rows& a, double y, const Rows& b) {
  Rows sum(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) sum[i] = x * a[i] + y * b[i];
  return sum;
}

}  // namespace karat::study
