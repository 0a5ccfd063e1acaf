// The order in which FlashAttention-3 sums a row of P held in a wgmma accumulator fragment.
// Lane t of a quad owns columns 8j + 2t and 8j + 2t + 1; registers are added in ascending j.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace karat::numerics {

/// Running sums of the four lanes that share a row.
using QuadSums = std::array<float, 4>;

/// Lane that owns column n.
constexpr std::size_t quad_lane(std::size_t column) { return (column >> 1) & 3; }

/// Adds one block's columns, ascending, each to its lane: one f32 addition per column.
constexpr void add_row(QuadSums& sums, std::span<const float> p) {
  for (std::size_t n = 0; n < p.size(); ++n) sums[quad_lane(n)] += p[n];
}

/// Multiplies the running sums by the rescale factor of a block, before the block is added.
constexpr void rescale(QuadSums& sums, float alpha) {
  for (float& sum : sums) sum *= alpha;
}

/// The butterfly at the very end: lane xor 2, then lane xor 1.
constexpr float butterfly(const QuadSums& sums) {
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

}  // namespace karat::numerics
