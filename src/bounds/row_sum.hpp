// The row sum l as an interval: a sum of terms that are not negative grows with each of them, so
// the low terms give the low end and the high terms the high end, in the recipe's own order. In any
// order it lies around the exact sum.
#pragma once

#include <array>
#include <span>

#include "fp32.hpp"
#include "karat/bounds/bounds.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::bounds {

class RowSum {
 public:
  explicit RowSum(const Freedom& freedom = {})
      : summation_(freedom.summation), contraction_(freedom.contraction) {}
  /// The past times alpha, then one block's terms.
  void absorb(const recipe::Recipe& recipe, Interval alpha, std::span<const float> low,
              std::span<const float> high);
  Interval total(const recipe::Recipe& recipe) const;
  /// Lane 0..3 of wgmma_quad; the whole sum is lane 0 in other orders.
  Interval partial(std::size_t lane) const { return partial_[lane]; }

 private:
  Interval in_any_order() const;

  Summation summation_;
  Contraction contraction_;
  std::array<Interval, 4> partial_{};
  double exact_low_ = 0, exact_high_ = 0;
  std::int64_t terms_ = 0, rescalings_ = 0;  ///< those that round
};

}  // namespace karat::bounds
