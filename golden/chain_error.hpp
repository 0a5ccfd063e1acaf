// Worst-case rounding error of a chain of matrix instructions, from the instruction's number of
// fraction bits. Only rows with many P codes near a rounding boundary need it.
#pragma once

#include <cstddef>

#include "karat/numerics/tensor_core.hpp"

namespace karat::golden {

/// Largest magnitudes that meet in one element of D.
struct ChainSize {
  std::size_t k = 0;       ///< length of the chain
  double a_max = 0;        ///< largest |a|
  double b_max = 0;        ///< largest |b|
  double a_sum = 0;        ///< sum of |a|
  double start = 0;        ///< |accumulator at the start|
};

/// |chain - exact sum| at most this. docs/bounds.md, "The chain".
double chain_error(const numerics::Instruction& instruction, const ChainSize& size);

}  // namespace karat::golden
