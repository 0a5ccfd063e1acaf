// Private: what the files of the chains know of each other. chain.cpp cuts a product into blocks,
// chain_block.cpp runs one, by the lanes of chain_split.cpp, chain_round.cpp and chain_plain.cpp on
// operands from chain_pack.cpp, or by chain_scalar.cpp.
// A kernel works on the first columns of one panel of 64 and up to kRowBlock rows; accumulators are
// [row][64] in scratch memory or, for the plain kernels, rows of D itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "karat/numerics/chain/packed.hpp"

namespace karat::numerics {

inline constexpr std::size_t kRowBlock = 64;

/// An f32 sum in f64 lanes whose addends all stay below this, 32 products of at most four times
/// that included, is below 2^128.
inline constexpr double kLargestSplitF64 = 0x1p120;

/// Pointers at the first k of the step: row 0 of A (rows are a_stride apart), the panel of B.
struct StepArguments {
  const Instruction* instruction;
  std::size_t rows;     ///< even for the split kernels
  std::size_t columns;  ///< of the panel, from its first; whole vectors beyond them may be written
  std::size_t length;   ///< products of this step (split, a multiple of 4), or all of k (plain)
  std::size_t a_stride;
  const float* a32;
  const double* a64;
  const std::uint32_t* a_exponent;
  const std::uint32_t* schedule;  ///< per pair of rows, pairs a_stride apart
  const std::uint32_t* same;      ///< per pair of rows, pairs same_stride apart
  const std::uint32_t* used;      ///< likewise
  std::size_t same_stride;
  const float* b32;
  const double* b64;
  const std::int8_t* b_exponent8;
  const std::int16_t* b_exponent16;
  float* accumulators;              ///< in and out (f32 results, already rounded)
  std::size_t accumulator_stride;   ///< between rows; the split kernels take kPanel only
  Start start;                      ///< plain kernels: whether the accumulators are read
  std::uint8_t* exceeded;  ///< per pair of rows; split_f64 with f32 accumulators sets it to 1 when an
                           ///< addend reaches kLargestSplitF64 or is not finite: results are void
  float* sums32;   ///< [row][64], split_f32 writes here when the accumulator format is f16
  double* sums64;  ///< [row][64], split_f64 likewise
};

/// Whether the SIMD target at run time has true fused multiply-adds; without them chain() takes the
/// scalar path for aligned sums.
bool has_split_kernels();

/// One aligned-sum step. Must run with the rounding mode toward zero (see RoundTowardZero).
void run_split_f32(const StepArguments&);
void run_split_f64(const StepArguments&);
/// Rounds the exact sums such a step left beside f16 accumulators, which hold the step's input: an
/// input that is not finite stays (NaN as 0x7FFFFFFF). Runs in the default rounding mode.
void run_round_f16(const StepArguments&, Lanes lanes);
/// sums = rounded (sums + c) for `count` f16 accumulators; a multiple of kPanel.
void run_add_f16(const float* c, float* sums, std::size_t count);
/// Per row of accumulators the largest of their bits without the sign: magnitudes of floats in
/// order as integers, NaN and Inf last.
void run_largest_bits(const float* sums, std::size_t rows, std::uint32_t* largest);
/// Rows of d that are kept = sums + 0, which makes +0 of -0.
void run_store(const float* sums, const bool* kept, MatrixView<float> d);
/// Whole chains, nearest even.
void run_fused(const StepArguments&);
void run_exact(const StepArguments&);

/// Memory of one block.
struct Scratch {
  alignas(64) float accumulators[kRowBlock * kPanel];
  alignas(64) float sums32[kRowBlock * kPanel];
  alignas(64) double sums64[kRowBlock * kPanel];
};

/// Rows [row, row + rows) of A by the first `columns` columns of a panel of B.
struct BlockPlace {
  std::size_t row, rows, panel, columns;
};

/// The block of D = (D or nothing) + A B^T by the fast kernels; no special values in its columns.
void run_block(const RowOperand::Packed& a, const ColumnOperand::Packed& b, BlockPlace at,
               Start start, MatrixView<float> d, Scratch& scratch);
/// Rows [row, row + rows) and columns [column, column + columns) by the scalar definition.
void run_scalar(const RowOperand::Packed& a, const ColumnOperand::Packed& b, std::size_t row,
                std::size_t rows, std::size_t column, std::size_t columns, Start start,
                MatrixView<float> d);

/// Rows from `first`, an even number, on; the operand has its sizes.
void pack_rows(MatrixView<const float> values, std::size_t first, RowOperand::Packed&);

/// See RowOperand::round_rows().
struct RoundingRows {
  MatrixView<const float> values;
  std::size_t first;
  float factor;
};
/// @pre split lanes that are not emulated, whole instructions of k, a multiple of 16, rows without
/// gaps between columns
RoundedRows round_rows(const RoundingRows&, RowOperand::Packed&);
void pack_columns(const Instruction&, MatrixView<const float> values, ColumnOperand::Packed&);

}  // namespace karat::numerics
