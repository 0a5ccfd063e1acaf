// Private: the unit's coefficients, and the widths each function works with.
#pragma once

#include <array>
#include <cstdint>

#include "karat/numerics/functions/mufu/mufu.hpp"

namespace karat::numerics {

struct MufuRow {
  std::int32_t c0, c1, c2;
};

/// With `offset` the low offset_bits of the argument and square(x) the truncated squarer:
///   sum = c0 * 2^c0_shift + c1 * offset + square(offset * 2^square_shift) * c2 * 2^c2_shift
///         + constant
///   significand = floor(sum / 2^sum_shift)
struct MufuWidths {
  int offset_bits, square_shift, c0_shift, c2_shift;
  std::int64_t constant;
  int sum_shift;
};

struct MufuTable {
  MufuWidths widths;
  std::array<MufuRow, 128> rows;  ///< ex2 and lg2 use the first 64
};

/// Read once from the embedded files.
const MufuTable& mufu_table(Mufu function);

/// The squarer drops what lies below its lowest column: the sum over set bits i of x of
/// floor(x / 2^(18-i)), halved. x < 2^17.
inline std::int64_t mufu_square(std::uint32_t x) {
  std::int64_t sum = 0;
  for (int i = 0; i < 17; ++i) {
    if ((x >> i) & 1) sum += x >> (18 - i);
  }
  return sum >> 1;
}

}  // namespace karat::numerics
