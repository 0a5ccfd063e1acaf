// Matrix products in the exact arithmetic of a named instruction, chained over k.
//
// Operands are given as f32 values that the instruction's input format represents exactly (every
// code of E4M3, BF16, FP16, INT8 ... widens exactly), packed once and used many times.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/tensor_core/instruction.hpp"
#include "karat/numerics/tensor_core/matrix_view.hpp"

namespace karat::numerics {

/// @throws Error(usage) for an unknown name, suggesting the nearest.
const Instruction& instruction(std::string_view name);
std::span<const Instruction> instructions();

std::string_view name(const Instruction&);
FormatId input_format(const Instruction&);
FormatId accumulator_format(const Instruction&);
/// Elements of k that one instruction sums (32 for FP8 wgmma); k-groups of a chain have this size
/// and start at k = 0; lanes past the end are zero. 1 for f32.fma and exact.
int k_group(const Instruction&);
Evidence evidence(const Instruction&);
/// One sentence on the evidence, with its source.
std::string_view evidence_note(const Instruction&);

/// One instruction on raw codes, straight from the formula (numerics.md, section 1): a and b hold
/// up to k_group codes of the input format, low bits first (missing ones are zero); c and the
/// result are bits of the accumulator format. NaN gives 0x7FFFFFFF (f32) or 0x7FFF (f16).
/// @throws Error(usage) when a and b differ in length or hold more than k_group codes.
std::uint32_t step_bits(const Instruction&, std::span<const std::uint32_t> a,
                        std::span<const std::uint32_t> b, std::uint32_t c);
/// The same, chained over any number of codes: D of one instruction is c of the next.
std::uint32_t chain_bits(const Instruction&, std::span<const std::uint32_t> a,
                         std::span<const std::uint32_t> b, std::uint32_t c);

/// What the chain's first accumulator is.
enum class Start {
  absent,  ///< no accumulator (scale-d = false), the same as +0
  from_d,  ///< the value found in D
};

enum class Path {
  scalar,  ///< obvious loops straight from the formula
  fast,    ///< Highway, run-time dispatch; the same bits
};

/// What RowOperand::round_rows() did.
struct RoundedRows {
  bool packed = false;     ///< false: nothing that counts; pack_rows() is to be called instead
  std::size_t beyond = 0;  ///< products larger than the format's largest number
};

/// Operands in the layout the fast path wants. Reusable: pack() replaces the content and keeps the
/// memory. Rows are the M side (queries, P), columns the N side (keys, channels of V).
class RowOperand {
 public:
  RowOperand();
  ~RowOperand();
  RowOperand(RowOperand&&) noexcept;
  RowOperand& operator=(RowOperand&&) noexcept;
  /// values: M x K. @pre each value is representable in input_format(instruction) (not checked).
  void pack(const Instruction&, MatrixView<const float> values);
  /// Room for rows x k, which pack_rows() and round_rows() then fill. What is there may stay.
  void reserve(const Instruction&, std::size_t rows, std::size_t k);
  /// Rows from `first`, an even number, on as pack() packs them. An odd number of rows ends them.
  /// @throws Error(internal) where they do not fit
  void pack_rows(std::size_t first, MatrixView<const float> values);
  /// The same of fl(value * factor), subnormal or not, rounded to the instruction's input format:
  /// nearest even, saturating. For P, whose codes nobody asks for: one pass instead of a cast and
  /// a packing. Done only for aligned sums of whole instructions (k, a multiple of 16) from rows
  /// without gaps, and where no product is negative, -0 or NaN, nor above 2^100 in a format that
  /// reaches it.
  /// @pre the processor rounds to nearest even, as it does unless told otherwise
  RoundedRows round_rows(std::size_t first, MatrixView<const float> values, float factor);
  /// The values that round_rows() made of rows from `first` on.
  void copy_rounded(std::size_t first, MatrixView<float> to) const;
  /// Where pack_rows() would copy row `first` to, rows k() apart, for who makes them there; null
  /// where packing is more than a copy. @pre reserved
  float* in_place(std::size_t first);
  std::size_t rows() const;
  std::size_t k() const;

  struct Packed;
  const Packed& packed() const { return *packed_; }

 private:
  std::unique_ptr<Packed> packed_;
};

class ColumnOperand {
 public:
  ColumnOperand();
  ~ColumnOperand();
  ColumnOperand(ColumnOperand&&) noexcept;
  ColumnOperand& operator=(ColumnOperand&&) noexcept;
  /// values: N x K, i.e. one row per column of D (keys x d for Q K^T; V transposed, channels x
  /// keys, for P V: pass row_major(v, keys, d).transposed()).
  void pack(const Instruction&, MatrixView<const float> values);
  std::size_t columns() const;
  std::size_t k() const;

  struct Packed;
  const Packed& packed() const { return *packed_; }

 private:
  std::unique_ptr<Packed> packed_;
};

/// D[i][j] = chain over k of a[i][k] * b[j][k], accumulator `start`, D row-major in f32. NaN is the
/// word the hardware writes (0x7FFFFFFF for f32). An f16 accumulator widens exactly. An s32
/// accumulator is summed in 32 wrapping bits; f32 holds it exactly up to 2^24, which 1024 INT8
/// products from an absent start cannot pass. Beyond that D is the nearest f32 (chain_bits() keeps
/// every bit).
/// "exact": products exact, summed ascending in f64 (start included), rounded once to f32 at the
/// end.
/// @throws Error(internal) when shapes do not fit.
void chain(const Instruction&, const RowOperand& a, const ColumnOperand& b, Start start,
           MatrixView<float> d, Path path = Path::fast);

}  // namespace karat::numerics
