// What kernels built with -ftz=true do to subnormal numbers.
#pragma once

#include <bit>
#include <cstdint>

namespace karat::numerics {

/// A subnormal becomes a zero of its sign; everything else stays, NaN payloads included.
inline float flush_subnormal(float x) {
  // By a mask, which loops of vectors can take.
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto normal = static_cast<std::uint32_t>((bits & 0x7F800000u) != 0);
  return std::bit_cast<float>(bits & (0x80000000u | (0u - normal)));
}

}  // namespace karat::numerics
