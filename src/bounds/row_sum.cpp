// The engine's row sum on intervals, and the exact one for any order.
#include "row_sum.hpp"

#include "any_order.hpp"

namespace karat::bounds {
namespace {

struct Terms {
  std::span<const float> low, high;
  std::size_t size() const { return low.size(); }
  Interval operator[](std::size_t n) const { return {low[n], high[n]}; }
};

}  // namespace

void RowSum::absorb(Interval alpha, std::span<const float> low, std::span<const float> high) {
  if (free_->freedom.summation == Summation::fixed) {
    const Terms terms{low, high};
    if (free_->freedom.contraction == Contraction::none)
      return attention::add_to_row_sum(free_->launch, terms, alpha, partial_);
    return attention::add_to_row_sum(free_->launch, terms, alpha, partial_,
                                     MultiplyAdd{Contraction::allowed});
  }
  exact_low_ *= alpha.low;
  exact_high_ *= alpha.high;
  rescalings_ += alpha.low != 1 || alpha.high != 1;
  for (std::size_t n = 0; n < low.size(); ++n) {
    exact_low_ += low[n];
    exact_high_ += high[n];
    terms_ += high[n] != 0;
  }
}

/// n - 1 additions and the rescalings lie on the way of a term, one rounding more covers the FP64
/// sums; every operation may lose 2^-126 to a flush.
Interval RowSum::in_any_order() const {
  if (terms_ == 0) return {static_cast<float>(exact_low_), static_cast<float>(exact_high_)};
  const auto steps = static_cast<double>(terms_ + rescalings_);
  const double share = rounding_share(free_->freedom.summation, steps);
  const double lost = static_cast<double>(terms_) * (steps + 2) * 0x1p-125;
  const double low = exact_low_ * (1 - share) - lost;
  return {low < 0 ? 0.0f : numerics::rounded_down(low),
          numerics::rounded_up(exact_high_ * (1 + share) + lost)};
}

Interval RowSum::total() const {
  if (free_->freedom.summation != Summation::fixed) return in_any_order();
  return attention::row_sum(free_->launch, partial_);
}

}  // namespace karat::bounds
