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

/// |chain - exact sum| at most of_size(). A step's grid is 2^(E - F), E the exponent of its largest
/// addend; every addend loses less than one grid unit, the result less than 2^-OUT of itself.
/// docs/bounds.md, "The chain".
class ChainBound {
 public:
  explicit ChainBound(const numerics::Instruction& row);
  double of_size(const ChainSize& size) const {
    const double total = 1.01 * (size.a_sum * size.b_max + size.start);
    const double largest =
        std::max(std::max(size.a_max, tiny_) * std::max(size.b_max, tiny_), total);
    const auto instructions = static_cast<double>((size.k + group_ - 1) / group_);
    return instructions * (per_largest_ * largest + lost_) + per_chain_ * total;
  }

 private:
  std::size_t group_;       ///< products of one instruction
  double tiny_;             ///< subnormal factors count as this, the smallest normal one
  double per_largest_ = 0;  ///< per instruction: times the largest addend
  double lost_ = 0;         ///< per instruction: near the accumulator's smallest normal number
  double per_chain_ = 0;    ///< once: times the sum of magnitudes
};

}  // namespace karat::bounds
