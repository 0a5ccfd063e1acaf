// One row of the instruction table. The arithmetic of every floating-point tensor-core step is one
// rule, the aligned truncated sum (docs/numerics.md), with the parameters of its row.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/formats/rounding.hpp"

namespace karat::numerics {

/// What an instruction's model rests on.
enum class Evidence {
  hardware_rows,  ///< equal to published captures from real GPUs, every row
  model_only,     ///< follows a published model that no capture here confirms
  definition,     ///< no hardware involved: the name defines the arithmetic (f32.fma, exact)
};

enum class Arithmetic : std::uint8_t {
  aligned_sum,  ///< aligned truncated sum, k / step of them chained inside the instruction
  emulated,     ///< two aligned sums over interleaved k from c = 0, then an IEEE addition of c
  integer,      ///< exact sum, wrapping at 32 bits
  fused,        ///< one fused multiply-add per k, nearest even
  exact,        ///< f64 sum in ascending k, rounded to f32 once per chain
};

inline constexpr int kNoFloor = std::numeric_limits<int>::min();

/// Named <gpu>.<instruction>.<inputs>.<accumulator>, or "f32.fma", "exact". Rows live in one table
/// for the life of the program; compare by address.
struct Instruction {
  std::string_view name;
  Arithmetic arithmetic;
  FormatId input;
  FormatId multiplied;   ///< what the multiplier sees: input, or f16 after a conversion
  FormatId accumulator;
  int k;                 ///< products per instruction
  int step;              ///< products per aligned sum (L)
  int fraction;          ///< grid = 2^(largest exponent - fraction) (F)
  int out_fraction;      ///< fraction bits kept at the end (OUT)
  Rounding out_rounding; ///< (RND)
  int floor;             ///< smallest "largest exponent" (FLOOR), or kNoFloor
  Evidence evidence;
  std::string_view note;
};

}  // namespace karat::numerics
