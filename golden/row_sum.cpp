// The three orders of summation, each end by itself.
#include "row_sum.hpp"

#include <bit>
#include <vector>

namespace karat::golden {
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
  const Fp32 fp{recipe.subnormals};
  for (Interval& sum : partial_) sum = fp.multiply(sum, alpha);
  switch (recipe.softmax.row_sum_order) {
    case recipe::RowSumOrder::wgmma_quad:
      for (std::size_t n = 0; n < low.size(); ++n) {
        Interval& sum = partial_[(n >> 1) & 3];
        sum = fp.add(sum, {low[n], high[n]});
      }
      return;
    case recipe::RowSumOrder::sequential:
      for (std::size_t n = 0; n < low.size(); ++n)
        partial_[0] = fp.add(partial_[0], {low[n], high[n]});
      return;
    case recipe::RowSumOrder::pairwise: break;
  }
  partial_[0] = fp.add(partial_[0], {pairwise(fp, low), pairwise(fp, high)});
}

Interval RowSum::total(const recipe::Recipe& recipe) const {
  if (recipe.softmax.row_sum_order != recipe::RowSumOrder::wgmma_quad) return partial_[0];
  const Fp32 fp{recipe.subnormals};
  return fp.add(fp.add(partial_[0], partial_[2]), fp.add(partial_[1], partial_[3]));
}

}  // namespace karat::golden
