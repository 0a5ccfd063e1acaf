// The row sum l as an interval: in the recipe's own order, or in any.
#pragma once

#include <span>

#include "free_launch.hpp"
#include "karat/attention/operations/row_sum.hpp"

namespace karat::bounds {

/// alpha and all terms are not negative, so every operation of l grows with each of its operands.
/// In any order l lies around the exact sum.
class RowSum {
 public:
  explicit RowSum(const FreeLaunch& free) : free_(&free) {}
  /// The past times alpha, then one block's terms.
  void absorb(Interval alpha, std::span<const float> low, std::span<const float> high);
  /// The same for rows of one launch and block, side by side where the order allows.
  static void absorb(std::span<RowSum> rows, std::span<const Interval> alpha,
                     std::span<const RowP> p, numerics::Path path = numerics::Path::fast);
  Interval total() const;

 private:
  Interval in_any_order() const;
  bool has_nan() const;

  const FreeLaunch* free_;
  attention::PartialSums<float> low_{}, high_{};  ///< in the recipe's own order
  double exact_low_ = 0, exact_high_ = 0;
  std::int64_t terms_ = 0, rescalings_ = 0;  ///< those that round
};

}  // namespace karat::bounds
