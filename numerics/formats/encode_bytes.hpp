// Private: the short conversion loops of the eight-bit formats and the vector form of Philox.
// They do whole vectors and say how far they came; the general loop finishes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "karat/numerics/formats/convert.hpp"

namespace karat::numerics {

/// Codes of the first elements of x under nearest-even or stochastic rounding to E4M3 or E5M2, or
/// to the nearest INT8, ties even or away; returns how many were written (0 for any other format or
/// mode).
std::size_t encode_bytes(const Format& format, const Policy& policy, const float* x,
                         std::size_t count, RandomStream random, std::uint8_t* codes);

/// Words of the blocks `block`, `block` + 1, ... of a stream, four each; returns how many blocks
/// were written.
std::size_t philox_blocks(RandomStream random, std::uint64_t block, std::size_t blocks,
                          std::uint32_t* words);

}  // namespace karat::numerics
