// Values at steps that were not measured, from those that were.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace karat::tune {

/// value = low^(1-share) * high^share
struct Between {
  std::size_t low, high;
  double share;
};

/// Where each of `wanted` lies among `known` coordinates, both ascending; beyond the ends it takes
/// the end's value.
inline std::vector<Between> places_between(std::span<const double> known,
                                           std::span<const double> wanted) {
  std::vector<Between> out;
  for (const double x : wanted) {
    std::size_t high = 0;
    while (high < known.size() && known[high] < x) ++high;
    if (high == known.size()) --high;
    const std::size_t low = high == 0 || known[high] <= x ? high : high - 1;
    const double from = known[low], to = known[high];
    out.push_back({low, high, to > from ? (x - from) / (to - from) : 0});
  }
  return out;
}

inline double between(double low, double high, double share) {
  if (share <= 0) return low;
  if (low <= 0 || high <= 0) return low + share * (high - low);
  return std::exp(std::log(low) + share * (std::log(high) - std::log(low)));
}

}  // namespace karat::tune
