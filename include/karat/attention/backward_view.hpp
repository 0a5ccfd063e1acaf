// One query head of a backward as its products read it: what computes the same stages over again
// with other values starts from here. Operations in order: docs/recipes/backward.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "karat/attention/backward.hpp"
#include "karat/attention/operations/backward.hpp"
#include "karat/attention/operations/gradient.hpp"

namespace karat::attention {

struct BackwardLaunch;

/// The three products that sum over blocks.
enum class GradientProduct { dv, dk, dq };

/// References its arguments; `blocks` are backward_blocks(). Thread-safe.
class BackwardView {
 public:
  BackwardView(const recipe::Recipe& recipe, const layout::Layout& layout,
               const mask::BlockMap& blocks, const BackwardHead& head, int threads);
  ~BackwardView();
  BackwardView(const BackwardView&) = delete;
  BackwardView& operator=(const BackwardView&) = delete;

  const BackwardKernel& kernel() const;
  const layout::Layout& layout() const;
  const mask::BlockMap& blocks() const;
  /// Key blocks in the order in which dQ adds them; query blocks as dV and dK do.
  std::vector<int> keys_of(int query_block) const;
  std::vector<int> queries_of(int key_block) const;

  bool has_keys(std::int64_t position) const;
  /// Whether P and dS of a pair are not simply 0.
  bool keeps(std::int64_t query, std::int64_t key) const;
  /// L of a row whose stored log-sum-exp is `lse`; finite lse.
  float l_of(std::int64_t position, float lse) const;
  /// delta of a row whose output is `o` (V: float or numerics::Interval).
  template <typename V>
  V delta_of(std::int64_t position, std::span<const V> o) const;

  /// A row of dO as delta sums it.
  struct DeltaOperand {
    std::span<const float> values;
    std::optional<float> scale;
  };
  DeltaOperand delta_operand(std::int64_t position) const;

  /// What exp2 has no say in.
  struct Pairs {
    std::size_t rows, columns;
    std::vector<float> a;   ///< rows x columns: the raw accumulators of the recomputed scores
    std::vector<float> dp;  ///< rows x columns, scaled
  };
  Pairs pairs(int query_block, int key_block) const;
  /// backward_exponent() of a pair.
  float exponent(std::int64_t query, std::int64_t key, float a, float l) const;

  const numerics::Instruction& instruction(GradientProduct product) const;
  recipe::Promote promote(GradientProduct product) const;
  /// How the product's left operand is made: P's or dS's rule.
  const quant::Rule& rule(GradientProduct product) const;
  /// The other operand's rows of a block (of queries for dV and dK, of keys for dQ).
  numerics::MatrixView<const float> right(GradientProduct product, int block) const;
  /// Per channel what a block's product is multiplied by, given the scale of the left operand.
  std::vector<float> factors(GradientProduct product, std::optional<float> left, int block) const;
  /// What the sum over all blocks is multiplied by; empty: nothing.
  std::vector<float> last_factors(GradientProduct product) const;
  /// Of k, where smoothing's term enters dQ; else empty.
  std::span<const float> k_mean() const;
  /// positions x channels: 1 where a gradient is 0 by the straight-through rule; may be empty.
  std::span<const std::uint8_t> saturated(GradientProduct product) const;
  float multiplier(GradientProduct product) const;

 private:
  const quant::Quantised& other(GradientProduct product) const;
  const video::TokenOrder& order(GradientProduct product) const;
  video::Range range(GradientProduct product, int block) const;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::attention
