// The backward pass of one key-value head, bit for bit as recipe.backward's kernels compute it.
// Operations in order: docs/recipes/backward.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/attention/taps.hpp"

namespace karat::attention {

/// The blocks of the backward: the forward's order and mask, cut into backward.block_q and block_k
/// (0: the forward's); each row's entries in ascending order of key blocks.
mask::BlockMap backward_blocks(const recipe::Recipe& recipe, const layout::Layout& layout);

/// What one query head brings: tokens x channels in original order, and per token.
struct BackwardHead {
  const QuantisedHead* head = nullptr;  ///< the forward's codes and scales
  /// What they were coded from, for Source::input, SmoothTerm::added of a smoothed k and
  /// StraightThrough::zero_where_saturated; else it may be empty.
  HeadInput input;
  std::span<const float> o;    ///< the forward's output, as stored
  std::span<const float> lse;  ///< the forward's log-sum-exp, as stored; -Inf: no keys, no gradient
  std::span<const float> d_o;  ///< finite
  /// Delta::unquantised_p: the output of unquantised_p_output(); else empty.
  std::span<const float> o_unquantised_p;
};

/// Stages of one block row (a query block and its key blocks) or block column.
struct BackwardTap {
  int query_block = 0;
  video::Range queries;                    ///< positions of the rows
  std::vector<std::int32_t> key_block;     ///< in the order dQ adds them
  std::vector<std::int64_t> column_begin;  ///< one more than key blocks
  std::vector<std::int32_t> key_position;  ///< per column
  /// rows x columns, log2 units, not masked: what exponent `separate` takes L from.
  std::vector<float> s;
  std::vector<float> p;                ///< rows x columns, exp2(s - L), f32
  std::vector<float> p_operand;        ///< rows x columns, as dV's product reads it
  std::vector<std::uint8_t> p_codes;   ///< where dV reads codes
  std::vector<float> dp;               ///< rows x columns, scaled
  std::vector<float> ds;               ///< rows x columns, f32 before the cast
  std::vector<float> ds_operand;       ///< rows x columns, as the products read it
  std::vector<std::uint8_t> ds_codes;  ///< where dQ and dK read codes
  std::vector<float> dq;               ///< visited x rows x channels, after each key block
};
struct KeyBlockTap {
  int key_block = 0;
  video::Range keys;
  std::vector<std::int32_t> query_block;  ///< in the order dV and dK add them, one query head after
                                          ///< the other
  std::vector<float> dk, dv;              ///< visited x keys x channels, after each query block
};

/// Kernels that no recipe means, for checking and diagnosing others.
struct BackwardErrors {
  /// Another legal 2^x in place of the recipe's p = 2^x, flushed as p is; the slow engine runs.
  std::function<float(float x, float p)> exp2;
  int dq_roots = 1, dk_roots = 1;  ///< how often d^-1/2 enters where softmax_scale is `end`
  double score_factor = 1;         ///< as AttendOptions::score_factor, of the recomputed scores
};

struct BackwardOptions {
  numerics::Path path = numerics::Path::fast;
  int threads = 0;  ///< 0: all the machine offers
  /// Compute dq of these query blocks, and dk and dv of these key blocks, at the cost of their
  /// visits; rows of other blocks are 0. Unset: all.
  std::optional<std::vector<int>> query_blocks, key_blocks;
  std::vector<int> tapped_queries;  ///< query blocks, of the first query head
  std::vector<int> tapped_keys;     ///< key blocks
  std::optional<BackwardErrors> errors;
  std::function<void(std::size_t done, std::size_t total)> progress;  ///< called from any worker
};

struct BackwardResult {
  std::vector<std::vector<float>> delta;  ///< per query head: tokens
  std::vector<std::vector<float>> dq;     ///< per query head: tokens x channels, original order
  std::vector<float> dk, dv;              ///< tokens x channels, original order
  std::vector<BackwardTap> query_taps;
  std::vector<KeyBlockTap> key_taps;
  std::int64_t saturated_ds_codes = 0;  ///< codes of dS that stand for something larger
};

/// Gradients of all query heads that share one key-value head. Bits are a function of (recipe,
/// layout, heads) alone. A row without keys has zero gradients.
/// @param layout  the forward's
/// @param heads   one per query head, in order
/// @throws Error(usage) for a block that does not exist.
/// @throws Error(usage) where scales of codes vary inside a block that a product sums over.
BackwardResult attend_backward(const recipe::Recipe& recipe, const layout::Layout& layout,
                               std::span<const BackwardHead> heads,
                               const BackwardOptions& options = {});

/// Whether it reads q, k and v as they were before coding (BackwardHead::input): Source::input, the
/// smoothing term, or a straight-through rule that asks what saturated.
bool backward_needs_values(const recipe::Recipe& recipe);

/// The recipe whose output Delta::unquantised_p sums: P rounded to BF16, v dequantised to BF16.
recipe::Recipe unquantised_p(const recipe::Recipe& recipe);
/// The head it runs on: v dequantised.
QuantisedHead unquantised_p_head(const recipe::Recipe& recipe, const QuantisedHead& head,
                                 numerics::Path path);
/// Its output on the same head, as stored.
std::vector<float> unquantised_p_output(const recipe::Recipe& recipe, const layout::Layout& layout,
                                        const QuantisedHead& head, numerics::Path path,
                                        int threads);

/// Gradients in f64, rows in the order the tokens were asked for.
struct OracleGradients {
  std::vector<double> dq;      ///< query tokens x channels
  std::vector<double> dk, dv;  ///< key tokens x channels
};

/// Gradients of softmax(q k^T / sqrt(d)) v under dO on the unquantised values, over all pairs or
/// those the layout's mask keeps; sums in a fixed order, so the bits depend on the values alone.
OracleGradients oracle_gradients(const layout::Layout& layout, const HeadInput& input,
                                 std::span<const float> d_o,
                                 std::span<const std::int32_t> query_tokens,
                                 std::span<const std::int32_t> key_tokens, OracleMask mask,
                                 int threads = 0);

}  // namespace karat::attention
