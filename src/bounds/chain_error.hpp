// Worst-case rounding error of a chain of matrix instructions, from the instruction's number of
// fraction bits. Only rows with many P codes near a rounding boundary need it.
#pragma once

#include <cstddef>

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::bounds {

/// Largest magnitudes that meet in one element of D.
struct ChainSize {
  std::size_t k = 0;       ///< length of the chain
  double a_max = 0;        ///< largest |a|
  double b_max = 0;        ///< largest |b|
  double a_sum = 0;        ///< sum of |a|
  double start = 0;        ///< |accumulator at the start|
};

/// |chain - exact sum| at most of_size. docs/bounds.md, "The chain".
class ChainBound {
 public:
  explicit ChainBound(const numerics::Instruction& instruction);
  double of_size(const ChainSize& size) const;

 private:
  enum class Law { exact, rounding_per_term, step_per_group };
  Law law_;
  double group_;          ///< products of one instruction
  double tiny_;           ///< smallest normal of the inputs
  double per_largest_;    ///< per instruction: times the largest addend
  double per_instruction_;
};

}  // namespace karat::bounds
