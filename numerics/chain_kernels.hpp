// Private: the interface between chain.cpp (shapes, order, rare cases) and the lanes: chain_split.cpp,
// chain_plain.cpp and chain_pack.cpp.
// A kernel works on one panel of 64 columns and up to kRowBlock rows, accumulators in a scratch
// array [row][64].
#pragma once

#include <cstddef>
#include <cstdint>

#include "karat/numerics/packed.hpp"

namespace karat::numerics {

inline constexpr std::size_t kRowBlock = 64;

/// Pointers at the first k of the step: row 0 of A (rows are a_stride apart), the panel of B.
struct StepArguments {
  const Instruction* instruction;
  std::size_t rows;    ///< even for the split kernels
  std::size_t length;  ///< products per step (split), or all of k (plain)
  std::size_t a_stride;
  const float* a32;
  const double* a64;
  const std::uint32_t* a_exponent;
  const std::uint32_t* schedule;  ///< per pair of rows, pairs a_stride apart
  const std::uint32_t* same;      ///< per pair of rows, pairs same_stride apart
  std::size_t same_stride;
  const float* b32;
  const double* b64;
  const std::int8_t* b_exponent8;
  const std::int16_t* b_exponent16;
  float* accumulators;     ///< [row][64], in and out (f32 results, already rounded)
  double* exact_sums;      ///< [row][64], written instead when the accumulator format is f16
  std::int32_t* integers;  ///< [row][64], in and out for integer instructions
};

/// Whether the SIMD target at run time has true fused multiply-adds; without them chain() takes the
/// scalar path for aligned sums.
bool has_split_kernels();

/// One aligned-sum step. Must run with the rounding mode toward zero (see RoundTowardZero).
void run_split_f32(const StepArguments&);
void run_split_f64(const StepArguments&);
/// Whole chains, nearest even.
void run_fused(const StepArguments&);
void run_exact(const StepArguments&);
void run_integer(const StepArguments&);

void pack_rows(const Instruction&, MatrixView<const float> values, RowOperand::Packed&);
void pack_columns(const Instruction&, MatrixView<const float> values, ColumnOperand::Packed&);

}  // namespace karat::numerics
