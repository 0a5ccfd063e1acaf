// Sums whose order a recipe fixes and a Freedom opens: how far roundings carry a sum from the exact
// one, whatever the order. docs/bounds.md, "Any order".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "free_launch.hpp"

namespace karat::bounds {

/// Bound of |sum - exact| / sum of |terms| when at most `roundings` lie on the way of each term:
/// any_order: gamma_n = n u / (1 - n u); likely: exp(lambda sqrt(n) u + n u^2) - 1 with
/// lambda = sqrt(2 ln(2e6)), exceeded with probability 1e-6 where roundings are independent of mean
/// zero. u = 2^-24.
double rounding_share(Summation summation, double roundings);

/// Are the sums of P V open too?
bool pv_reordered(const FreeLaunch& free);

/// O of one query block as an f32.fma product leaves it, in any order: exact sums with intervals
/// for alpha and P, and what roundings may add.
class ReorderedPv {
 public:
  ReorderedPv(const FreeLaunch& free, std::size_t rows);

  /// One key block, as PvBounds::absorb.
  void absorb(const attention::BlockTap& tap, std::size_t visit, std::span<const Interval> alpha,
              std::span<const RowP> p);
  /// rows x channels
  void store(std::span<Interval> o) const;

 private:
  void rescale(std::size_t row, Interval alpha);
  void absorb_infinite(video::Range keys, std::span<const Interval> alpha, std::span<const RowP> p);
  /// One key: P from middle - half to middle + half.
  void add(std::size_t row, double middle, double half, double high, const double* v,
           const double* v_size);

  const Launch& launch_;
  Summation summation_;
  double scale_;  ///< the largest factor a lost subnormal may meet
  /// rows x channels: middles of the exact sums, half their widths, sums of absolute values
  std::vector<double> exact_, spread_, magnitude_;
  std::vector<Interval> infinite_;  ///< rows x channels: Inf and NaN of V; empty: none met
  std::vector<std::int64_t> terms_, rescalings_;  ///< per row
};

}  // namespace karat::bounds
