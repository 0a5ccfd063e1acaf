// The three orders of summation, each end by itself.
#include "row_sum.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "any_order.hpp"

namespace karat::bounds {
namespace {

float pairwise(const Fp32& fp, std::span<const float> terms) {
  std::vector<float> level(std::bit_ceil(terms.size()), 0.0f);
  for (std::size_t n = 0; n < terms.size(); ++n) level[n] = fp.flushed(terms[n]);
  for (std::size_t size = level.size(); size > 1; size /= 2)
    for (std::size_t n = 0; n < size / 2; ++n) level[n] = fp.add(level[2 * n], level[2 * n + 1]);
  return level.empty() ? 0.0f : level[0];
}

}  // namespace

void RowSum::absorb(const recipe::Recipe& recipe, Interval alpha, std::span<const float> low,
                    std::span<const float> high) {
  if (summation_ != Summation::fixed) {
    exact_low_ *= alpha.low;
    exact_high_ *= alpha.high;
    rescalings_ += alpha.low != 1 || alpha.high != 1;
    for (std::size_t n = 0; n < low.size(); ++n) {
      exact_low_ += low[n];
      exact_high_ += high[n];
      terms_ += high[n] != 0;
    }
    return;
  }
  const Fp32 fp{recipe.subnormals};
  const auto before = partial_;
  for (Interval& sum : partial_) sum = fp.multiply(sum, alpha);
  /// The first addition after the product, which a kernel may fuse with it.
  const auto add_first = [&](std::size_t lane, Interval term) {
    Interval& sum = partial_[lane];
    sum = fp.add(sum, term);
    if (contraction_ == Contraction::none) return;
    sum.low = std::min(sum.low, fp.flushed(std::fma(before[lane].low, alpha.low, term.low)));
    sum.high = std::max(sum.high, fp.flushed(std::fma(before[lane].high, alpha.high, term.high)));
  };
  switch (recipe.softmax.row_sum_order) {
    case recipe::RowSumOrder::wgmma_quad:
      for (std::size_t n = 0; n < low.size(); ++n) {
        const std::size_t lane = (n >> 1) & 3;
        if (n < 8 && n % 2 == 0)
          add_first(lane, {low[n], high[n]});
        else
          partial_[lane] = fp.add(partial_[lane], {low[n], high[n]});
      }
      return;
    case recipe::RowSumOrder::sequential:
      for (std::size_t n = 0; n < low.size(); ++n)
        if (n == 0)
          add_first(0, {low[n], high[n]});
        else
          partial_[0] = fp.add(partial_[0], {low[n], high[n]});
      return;
    case recipe::RowSumOrder::pairwise: break;
  }
  add_first(0, {pairwise(fp, low), pairwise(fp, high)});
}

/// n - 1 additions and the rescalings lie on the way of a term, one rounding more covers the FP64
/// sums; every operation may lose 2^-126 to a flush.
Interval RowSum::in_any_order() const {
  if (terms_ == 0) return {static_cast<float>(exact_low_), static_cast<float>(exact_high_)};
  const auto steps = static_cast<double>(terms_ + rescalings_);
  const double share = rounding_share(summation_, steps);
  const double lost = static_cast<double>(terms_) * (steps + 2) * 0x1p-125;
  const double low = exact_low_ * (1 - share) - lost;
  return {low < 0 ? 0.0f : rounded_down(low), rounded_up(exact_high_ * (1 + share) + lost)};
}

Interval RowSum::total(const recipe::Recipe& recipe) const {
  if (summation_ != Summation::fixed) return in_any_order();
  if (recipe.softmax.row_sum_order != recipe::RowSumOrder::wgmma_quad) return partial_[0];
  const Fp32 fp{recipe.subnormals};
  return fp.add(fp.add(partial_[0], partial_[2]), fp.add(partial_[1], partial_[3]));
}

}  // namespace karat::bounds
