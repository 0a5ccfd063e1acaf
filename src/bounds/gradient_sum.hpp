// The accumulators of one block of dV, dK or dQ: of the golden kernel, of legal ones, and all that
// are legal.
#pragma once

#include <array>
#include <vector>

#include "chain_error.hpp"
#include "made_pairs.hpp"
#include "non_finite.hpp"

namespace karat::bounds {

class GradientSum {
 public:
  using Product = attention::GradientProduct;
  /// @param rows  of the block
  GradientSum(const attention::BackwardView& view, Product product, std::size_t rows,
              const Freedom& freedom);

  /// One visit, in the product's order; of the next query head too, where the chain goes on.
  /// @param left   rows x columns of the visit
  /// @param block  of the other side
  void absorb(const attention::BackwardView& view, const MadePairs& pairs, const MadeOperand& left,
              int block);

  const std::vector<float>& of(std::size_t run) const { return acc_[run]; }
  /// rows x channels. With any order allowed, of dQ that is added to memory, in every order.
  std::vector<numerics::Interval> all() const;
  /// The golden order's range behind the visits so far.
  const std::vector<numerics::Interval>& so_far() const { return interval_; }
  bool in_any_order() const { return any_order_; }

 private:
  void enclose(const attention::BackwardView& view, const MadePairs& pairs, const MadeOperand& left,
               int block, std::span<const float> before);

  Product product_;
  Freedom freedom_;
  std::size_t rows_, channels_;
  bool promoted_, any_order_;
  const numerics::Instruction& instruction_;
  ChainBound chain_;
  SumRange range_;
  std::array<std::vector<float>, kRuns> acc_;
  std::vector<numerics::Interval> interval_;
  /// any order: sums of the ends of each visit's term, and of magnitudes
  std::vector<double> low_, high_, magnitude_;
  std::size_t terms_ = 0;
};

}  // namespace karat::bounds
