// The distance of candidate and golden values from the FP64 truth, as a gate of its own: head by
// head, query block by query block, row by row. docs/bounds.md, "The error gate".
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "block_spread.hpp"
#include "karat/golden/check.hpp"
#include "karat/layout/layout.hpp"

namespace karat::golden {

/// Squared norms of one row whose truth is known.
struct TruthRow {
  std::int32_t token;
  double truth, golden, candidate;  ///< of the truth; of the distances from it
};
/// @param truth  channels values of the row; rows that are not finite there give nothing
std::optional<TruthRow> truth_row(std::int32_t token, std::span<const double> truth,
                                  std::span<const float> golden, std::span<const float> candidate);

/// What is allowed: `ratio`, or what legal kernels reach and half as much again.
inline double allowed_ratio(double ratio, double reach) {
  return std::max(ratio, 1 + 1.5 * (reach - 1));
}

/// Blocks of positions, of queries or keys.
struct GateGroups {
  const video::TokenOrder& order;
  std::span<const video::Range> blocks;
  Side side = Side::query;
};

/// The group of rows that lies farthest beyond `ratio`. With g and c the sums of a group's squared
/// errors: c <= ratio^2 * g for the head; c <= ratio^2 * (g + 4 times the head's mean row) for a
/// block and a row, whose own g may be small by chance. g counts as a quarter of the output
/// format's rounding error at least.
std::optional<Doubt> beyond(double ratio, const GateGroups& groups, numerics::FormatId output,
                            std::span<const TruthRow> rows);

}  // namespace karat::golden
