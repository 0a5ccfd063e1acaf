// Private: the fast backward's visits: packed operands, a worker's buffers, and P and dS of a visit
// between the products.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "backward/launch.hpp"
#include "backward/schedule.hpp"
#include "fast/visit.hpp"

namespace karat::attention {

/// A query block's operands, packed once for all its visits.
struct PackedQueryBlock {
  numerics::RowOperand q, d_o;     ///< of S and dP
  numerics::ColumnOperand dv, dk;  ///< dO and q by channels, for dV and dK
  std::vector<float> s_q, s_d_o;   ///< per row, kPadding more; s_d_o empty: dP has no scale
};
/// A key block's, packed by the worker that visits it.
struct PackedKeyBlock {
  int key_block = -1;
  numerics::ColumnOperand k, v;  ///< of S and dP
  numerics::ColumnOperand dq;    ///< k by channels
  std::vector<float> s_k, s_v;   ///< per key, kPadding more; a single one where they are equal
};

/// Buffers of one worker. Blocks have rows of padded(columns) elements.
struct BackwardScratch {
  PackedKeyBlock keys;
  numerics::RowOperand made;                          ///< P or dS, packed for one product
  Lines<float> s, p, dp, ds, p_values, ds_values, t;  ///< whole blocks
  Lines<std::uint8_t> p_codes, ds_codes;
  Lines<float> x;                                ///< some rows of a block
  Lines<float> maxima, group_step, group_scale;  ///< of groups of 16 in those
  Lines<double> exact;
  Lines<std::uint16_t> wide_codes;
};

/// A visit with its place in memory.
struct BackwardVisit {
  const BackwardLaunch& launch;
  const PackedQueryBlock& packed;
  BackwardScratch& scratch;
  mask::Cover cover;
  video::Range queries, keys;
  bool tapped;

  std::size_t rows() const { return static_cast<std::size_t>(queries.size()); }
  std::size_t columns() const { return static_cast<std::size_t>(keys.size()); }
  std::size_t stride() const { return padded(columns()); }
  /// Rows worked on together: what the loops touch stays in the first-level cache.
  std::size_t rows_at_once() const { return std::max<std::size_t>(8, 2048 / stride() / 8 * 8); }
  template <typename T>
  BlockOf<T> in(Lines<T>& buffer) const {
    return {buffer.data(), rows(), columns(), stride()};
  }
};

/// P or dS as the products read it.
struct MadeOperand {
  numerics::MatrixView<const float> values;  ///< rows x columns
  const std::uint8_t* codes = nullptr;       ///< null: none; strides as the values
  std::optional<float> scale;
  std::int64_t saturated = 0;
};
struct MadeOperands {
  MadeOperand p, ds;
};

/// From the raw accumulators in scratch.s and scratch.dp to both operands. Where the visit is
/// tapped, s, p, dp and ds stay in their buffers, dp scaled.
MadeOperands make_operands(const BackwardVisit& v);

}  // namespace karat::attention
