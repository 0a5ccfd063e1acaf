// The engine's row sum on intervals, and the exact one for any order.
#include "row_sum.hpp"

#include <algorithm>

#include "any_order.hpp"

namespace karat::bounds {
namespace {

struct Terms {
  std::span<const float> low, high;
  std::size_t size() const { return low.size(); }
  Interval operator[](std::size_t n) const { return {low[n], high[n]}; }
};

/// add_to_row_sum() of one end. In wgmma order what follows the first eight columns is four chains
/// of additions, none of whose sums is to be flushed where terms are zero or normal, or subnormals
/// kept. (The f32 beside an exact P may be subnormal.)
void add_end(const Kernel& kernel, float alpha, std::span<const float> terms,
             attention::PartialSums<float>& sums) {
  const bool normal = kernel.recipe.softmax.exp2 != recipe::Exp2::exact ||
                      kernel.fp32.subnormals == numerics::Subnormals::keep;
  const bool quad = kernel.recipe.softmax.row_sum_order == recipe::RowSumOrder::wgmma_quad;
  const std::size_t begun = quad && normal ? std::min<std::size_t>(8, terms.size()) : terms.size();
  attention::add_to_row_sum(kernel, terms.first(begun), alpha, sums);
  std::size_t n = begun;
  for (; n + 8 <= terms.size(); n += 8) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += terms[n + 2 * lane];
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += terms[n + 2 * lane + 1];
  }
  for (; n < terms.size(); ++n) sums[n / 2 % 4] += terms[n];
}

}  // namespace

void RowSum::absorb(Interval alpha, std::span<const float> low, std::span<const float> high) {
  if (free_->freedom.summation == Summation::fixed) {
    if (free_->freedom.contraction == Contraction::none) {
      add_end(free_->launch, alpha.low, low, low_);
      return add_end(free_->launch, alpha.high, high, high_);
    }
    attention::PartialSums<Interval> sums;
    for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] = {low_[lane], high_[lane]};
    attention::add_to_row_sum(free_->launch, Terms{low, high}, alpha, sums,
                              MultiplyAdd{Contraction::allowed});
    for (std::size_t lane = 0; lane < sums.size(); ++lane) {
      low_[lane] = sums[lane].low;
      high_[lane] = sums[lane].high;
    }
    return;
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
  return {attention::row_sum(free_->launch, low_), attention::row_sum(free_->launch, high_)};
}

}  // namespace karat::bounds
