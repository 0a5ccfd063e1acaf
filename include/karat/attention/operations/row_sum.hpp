// The row sum l: four partial sums of a row in wgmma order, one in other orders.
// packed_quad is what FlashAttention-4 for sm_100 adds: a thread owns a row, and a block's columns
// go in turn to four packed pairs (flash_attn/cute, fadd_reduce).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "karat/attention/operations/kernel.hpp"

namespace karat::attention {

/// V: float or numerics::Interval. Orders other than wgmma_quad use the first alone.
template <typename V>
using PartialSums = std::array<V, 4>;

/// The butterfly over the lanes of a row.
template <typename V>
V of_lanes(const numerics::Fp32& fp, V l0, V l1, V l2, V l3) {
  return fp.add(fp.add(l0, l2), fp.add(l1, l3));
}

/// Terms of one visit: a balanced tree of the columns of each lane, neighbours first, then the
/// lanes. Columns behind the last count as 0, which changes no sum.
template <typename V, typename Terms>
V thread_tree(const numerics::Fp32& fp, const Terms& terms) {
  // Level by level, the lanes of a group of columns side by side.
  std::vector<V> level(4 * std::bit_ceil((terms.size() + 7) / 8), V(0.0f));
  for (std::size_t n = 0; n < terms.size(); n += 2)
    level[n / 2] = n + 1 < terms.size()
                       ? V(fp.add(V(fp.round(terms[n])), V(fp.round(terms[n + 1]))))
                       : V(fp.round(terms[n]));
  for (std::size_t size = level.size(); size > 4; size /= 2)
    for (std::size_t g = 0; g < size / 8; ++g)
      for (std::size_t lane = 0; lane < 4; ++lane)
        level[4 * g + lane] = fp.add(level[8 * g + lane], level[8 * g + 4 + lane]);
  return of_lanes(fp, level[0], level[1], level[2], level[3]);
}

/// Eight sums of a block's terms, the first of which stands already, added up.
template <typename V, typename Terms>
V packed_sum(const numerics::Fp32& fp, const Terms& terms, V first) {
  std::array<V, 8> s{};
  s[0] = first;
  for (std::size_t n = 1; n < terms.size(); ++n)
    s[n % 8] = n < 8 ? V(fp.round(terms[n])) : fp.add(s[n % 8], terms[n]);
  const auto half = [&](std::size_t odd) {
    return fp.add(fp.add(s[odd], s[2 + odd]), fp.add(s[4 + odd], s[6 + odd]));
  };
  return fp.add(half(0), half(1));
}

/// One visit of a row: each partial sum times alpha, then its terms in ascending columns. In wgmma
/// order column n belongs to sum (n / 2) % 4, the lane of the accumulator fragment that holds it;
/// pairwise, terms are summed in a binary tree first; in a thread_tree those of each lane in a tree
/// of their own, then the lanes as in wgmma order; packed_quad, column n belongs to sum n % 8 of
/// the block, the first of which starts from the past, and they meet at the end of the block:
/// ((0 + 2) + (4 + 6)) + ((1 + 3) + (5 + 7)).
/// @param terms  something with size() and [n]: float, double (exact P) or numerics::Interval
/// @param begin  sum*alpha + term for a sum's first term of a visit
template <typename V, typename Alpha, typename Terms, typename Begin>
void add_to_row_sum(const Kernel& kernel, const Terms& terms, Alpha alpha, PartialSums<V>& sums,
                    const Begin& begin) {
  const numerics::Fp32& fp = kernel.fp32;
  const recipe::RowSumOrder order = kernel.recipe.softmax.row_sum_order;
  if (order == recipe::RowSumOrder::pairwise) {
    std::vector<V> level(std::bit_ceil(terms.size()));
    for (std::size_t n = 0; n < terms.size(); ++n) level[n] = fp.round(terms[n]);
    for (std::size_t size = level.size(); size > 1; size /= 2)
      for (std::size_t n = 0; n < size / 2; ++n) level[n] = fp.add(level[2 * n], level[2 * n + 1]);
    sums[0] = begin(fp, sums[0], alpha, level[0]);
    return;
  }
  if (order == recipe::RowSumOrder::thread_tree) {
    sums[0] = begin(fp, sums[0], alpha, thread_tree<V>(fp, terms));
    return;
  }
  if (order == recipe::RowSumOrder::packed_quad) {
    sums[0] = terms.size() == 0 ? fp.multiply(sums[0], alpha)
                                : packed_sum(fp, terms, begin(fp, sums[0], alpha, terms[0]));
    return;
  }
  std::array<bool, 4> begun{};
  for (std::size_t n = 0; n < terms.size(); ++n) {
    const std::size_t lane = order == recipe::RowSumOrder::wgmma_quad ? n / 2 % 4 : 0;
    sums[lane] =
        begun[lane] ? fp.add(sums[lane], terms[n]) : begin(fp, sums[lane], alpha, terms[n]);
    begun[lane] = true;
  }
  for (std::size_t lane = 0; lane < 4; ++lane)
    if (!begun[lane]) sums[lane] = fp.multiply(sums[lane], alpha);
}

/// Begun as softmax.row_sum_start has it.
template <typename V, typename Alpha, typename Terms>
void add_to_row_sum(const Kernel& kernel, const Terms& terms, Alpha alpha, PartialSums<V>& sums) {
  if (kernel.recipe.softmax.row_sum_start == recipe::RowSumStart::fused_first)
    add_to_row_sum(kernel, terms, alpha, sums, numerics::OneRounding{});
  else
    add_to_row_sum(kernel, terms, alpha, sums, numerics::SeparateRoundings{});
}

/// l: in wgmma order the butterfly over lanes, (l0 + l2) + (l1 + l3). A NaN is 0x7FFFFFFF: which of
/// two a sum keeps depends on the order in which a compiler names its operands.
template <typename V>
V row_sum(const Kernel& kernel, const PartialSums<V>& sums) {
  const bool lanes = kernel.recipe.softmax.row_sum_order == recipe::RowSumOrder::wgmma_quad;
  const V l = lanes ? of_lanes(kernel.fp32, sums[0], sums[1], sums[2], sums[3]) : sums[0];
  if constexpr (std::is_same_v<V, float>)
    if (l != l) return std::bit_cast<float>(0x7FFFFFFFu);
  return l;
}

}  // namespace karat::attention
