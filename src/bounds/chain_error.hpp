// Worst-case rounding error of a chain of matrix instructions, from the instruction's row. Only
// rows with many P codes near a rounding boundary need it.
#pragma once

#include <algorithm>
#include <cstddef>

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::bounds {

/// Largest magnitudes that meet in one element of D.
struct ChainSize {
  std::size_t k = 0;  ///< length of the chain
  double a_max = 0;   ///< largest |a|
  double b_max = 0;   ///< largest |b|
  double a_sum = 0;   ///< sum of |a|
  double start = 0;   ///< |accumulator at the start|
};

/// ChainBound::of_size() as a function of b_max alone.
struct ChainError {
  static constexpr double kMargin = 1.01;
  double instructions;  ///< of the chain
  double per_largest, lost, per_chain, tiny;
  double a_max, a_sum, start;  ///< a_max at least tiny

  double of(double b_max) const {
    const double total = kMargin * (a_sum * b_max + start);
    const double largest = std::max(a_max * std::max(b_max, tiny), total);
    return instructions * (per_largest * largest + lost) + per_chain * total;
  }
};

/// |chain - exact sum| at most of_size(). A step's grid is 2^(E - F), E the exponent of its largest
/// addend; every addend loses less than one grid unit, the result less than 2^-OUT of itself.
/// docs/bounds.md, "The chain".
class ChainBound {
 public:
  explicit ChainBound(const numerics::Instruction& row);
  double of_size(const ChainSize& size) const { return error(size).of(size.b_max); }
  /// For chains whose sizes differ in b_max alone, which is not read.
  ChainError error(const ChainSize& size) const {
    return {.instructions = static_cast<double>((size.k + group_ - 1) / group_),
            .per_largest = per_largest_,
            .lost = lost_,
            .per_chain = per_chain_,
            .tiny = tiny_,
            .a_max = std::max(size.a_max, tiny_),
            .a_sum = size.a_sum,
            .start = size.start};
  }

 private:
  std::size_t group_;       ///< products of one instruction
  double tiny_;             ///< subnormal factors count as this, the smallest normal one
  double per_largest_ = 0;  ///< per instruction: times the largest addend
  double lost_ = 0;         ///< per instruction: near the accumulator's smallest normal number
  double per_chain_ = 0;    ///< once: times the sum of magnitudes
};

}  // namespace karat::bounds
