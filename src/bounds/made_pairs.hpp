// P and dS of a query block and a key block as legal kernels make them.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "forward_rows.hpp"
#include "karat/quant/quantise.hpp"

namespace karat::bounds {

/// A legal 2^x, x anywhere in its range: `rounded` and `own` are the correctly rounded and the
/// recipe's value at the ends.
struct PowerEnds {
  numerics::Interval x, rounded, own;
};
numerics::Interval legal_power(const PowerEnds& ends, const Freedom& freedom);

/// A matrix of the golden kernel and of legal ones, and what is legal of each element.
struct MadeValues {
  std::array<std::vector<float>, kRuns> of;
  std::vector<float> low, high;
};

/// The same as a product reads it. Where a scale follows from what is in a visit, low and high
/// count in the golden kernel's scale; the codes alone lie in code_low to code_high.
struct MadeOperand {
  std::array<quant::Quantised, kRuns> of;
  std::vector<float> low, high;
  std::vector<float> code_low, code_high;  ///< empty: as low and high
  bool scale_varies = false;
};

/// rows x columns
struct MadePairs {
  std::size_t rows, columns;
  MadeValues p, ds;
  MadeOperand p_operand, ds_operand;
};
MadePairs make_pairs(const attention::BackwardView& view, const ForwardRows& forward,
                     const Freedom& freedom, int query_block, int key_block);

}  // namespace karat::bounds
