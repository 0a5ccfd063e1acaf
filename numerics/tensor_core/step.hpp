// The aligned truncated sum, one step of a tensor core, in plain integers, with a trace of what it
// did. This is the definition the fast kernels are measured against; it is written to be read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::numerics {

/// A number taken apart: (-1)^negative * significand * 2^unit. Subnormals are not renormalised:
/// `exponent` is that of the smallest normal number, as the hardware counts it.
struct Factor {
  enum class Class : std::uint8_t { finite, infinite, nan };
  Class kind = Class::finite;
  bool negative = false;
  std::uint32_t significand = 0;
  int exponent = 0;
  int unit = 0;
};

Factor take_apart(std::uint32_t code, FormatId format);

/// One term of the sum and what the grid kept of it.
struct AlignedTerm {
  bool negative = false;
  std::uint64_t significand = 0;
  int exponent = 0;        ///< the exponent that competes for the largest
  int unit = 0;            ///< magnitude = significand * 2^unit
  std::int64_t kept = 0;   ///< signed multiple of the grid after truncation
  bool truncated = false;  ///< some of the magnitude was lost
};

/// Everything one step did; `terms` lists the products in order, then c.
struct StepTrace {
  bool special = false;  ///< decided by NaN or Inf, before any arithmetic
  int largest_exponent = 0;
  int grid = 0;          ///< exponent of the grid
  std::int64_t sum = 0;  ///< multiple of the grid
  std::uint32_t result = 0;
  std::vector<AlignedTerm> terms;
};

/// One aligned sum of a.size() products and c; bits of the accumulator format.
/// @param trace  filled when not null
std::uint32_t aligned_step(const Instruction&, std::span<const Factor> a,
                           std::span<const Factor> b, std::uint32_t c,
                           StepTrace* trace = nullptr);

/// One whole instruction on factors (instruction.k of them, or fewer).
std::uint32_t instruction_step(const Instruction&, std::span<const Factor> a,
                               std::span<const Factor> b, std::uint32_t c,
                               std::vector<StepTrace>* traces = nullptr);

/// The chain over any number of k. "exact" sums the whole chain in f64 and rounds once.
std::uint32_t chain_factors(const Instruction&, std::span<const Factor> a,
                            std::span<const Factor> b, std::uint32_t c,
                            std::vector<StepTrace>* traces = nullptr);

/// chain_bits() with the trace of every step (empty for integer, fused and exact arithmetic).
std::vector<StepTrace> explain(const Instruction&, std::span<const std::uint32_t> a,
                               std::span<const std::uint32_t> b, std::uint32_t c);

/// What the multiplier sees of a code of the rows or the columns: the input's own, or f16 after an
/// exact conversion.
Factor row_factor(const Instruction&, std::uint32_t code);
Factor column_factor(const Instruction&, std::uint32_t code);

/// The NaN every instruction writes.
constexpr std::uint32_t nan_word(FormatId accumulator) {
  return accumulator == FormatId::f16 ? 0x7FFF : 0x7FFFFFFF;
}

}  // namespace karat::numerics
