// Private: what the engines of the backward share: one query head's operands, the orders of its
// blocks, the sums over all of them, and what is written of those.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "backward/operands.hpp"
#include "karat/attention/backward.hpp"
#include "karat/attention/operations/backward.hpp"
#include "karat/attention/operations/gradient.hpp"

namespace karat::attention {

/// One query head on its way through. References its arguments.
struct BackwardLaunch : BackwardKernel {
  BackwardLaunch(const recipe::Recipe& recipe, const layout::Layout& layout,
                 const mask::BlockMap& blocks, const BackwardHead& head,
                 const BackwardOptions& options);
  BackwardLaunch(const BackwardLaunch&) = delete;  // d_o_in_dp may lend d_o

  const layout::Layout& layout;
  const mask::BlockMap& blocks;
  const BackwardHead& brought;
  const BackwardOptions& options;
  const BackwardErrors errors;  ///< of the options, or none
  Operand q, k, v;              ///< as the products read them
  Operand d_o;                  ///< in dV
  Operand d_o_in_dp;
  std::vector<float> k_mean;  ///< smoothing's term; empty: none
  std::vector<float> l;       ///< per position; +Inf: no keys, P and dS are 0
  std::vector<float> delta;   ///< per position
  std::vector<std::uint8_t> q_saturated, k_saturated, v_saturated;  ///< empty: gradients pass

  const quant::Quantised& s_q() const { return forward_scores() ? brought.head->q : *q; }
  const quant::Quantised& s_k() const { return forward_scores() ? brought.head->k : *k; }
  bool has_keys(std::int64_t position) const;
  /// fl(s_dO*s_v) of a pair, where one of them has a scale.
  std::optional<float> dp_factor(std::int64_t query, std::int64_t key) const;
};

/// Who visits whom, in which order.
struct BackwardOrder {
  using Entry = mask::BlockMap::Entry;
  struct Query {
    std::int32_t query_block;
    mask::Cover cover;
  };
  std::vector<std::vector<Entry>> keys_of;     ///< per query block, as dQ adds key blocks
  std::vector<std::vector<Query>> queries_of;  ///< per key block, as dV and dK add query blocks
};
/// 1 for each block of the list, all where there is none.
std::vector<char> chosen(const std::optional<std::vector<int>>& list, std::size_t count);
/// Lists of blocks that were not chosen are empty.
BackwardOrder backward_order(const recipe::Backward& backward, const mask::BlockMap& blocks,
                             const BackwardOptions& options);

/// Accumulators over positions x channels, and r of each query.
struct Sums {
  std::vector<float> dq, dk, dv;
  std::vector<float> ds_sum;
};

/// Where the recordings of a block stand, or nothing.
struct Taps {
  std::vector<BackwardTap*> of_query;  ///< per query block
  std::vector<KeyBlockTap*> of_key;    ///< per key block
  /// Visits that earlier query heads left in a key block's tap.
  std::vector<std::size_t> visited_before;
};

/// A visit as recorded; matrices are rows x columns with `stride` elements a row.
struct RecordedVisit {
  std::size_t rows, columns, stride;
  const float *s, *p, *dp, *ds;
  const float *p_operand, *ds_operand;
  const std::uint8_t *p_codes, *ds_codes;  ///< null: no codes
};
/// @param dq  the query block's accumulators behind the visit
void record(const RecordedVisit& visit, std::span<const float> dq, std::size_t turn,
            BackwardTap& tap);
/// Behind the visit `turn` of a key block, where it is tapped.
void record_keys(std::span<const float> dk, std::span<const float> dv, int key_block,
                 std::size_t turn, const Taps& taps);

/// How many codes of dS stand for something larger than the format's largest value.
std::int64_t saturated_codes(const quant::Rule& rule, numerics::MatrixView<const float> ds);

/// All visits of one query head: the sums grow by its share. Each key block done calls `done`.
/// @return saturated codes of dS
std::int64_t run_scalar(const BackwardLaunch& launch, const BackwardOrder& order, Sums& sums,
                        const Taps& taps, const std::function<void()>& done);

}  // namespace karat::attention
