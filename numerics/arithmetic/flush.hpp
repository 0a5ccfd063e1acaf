// What kernels built with -ftz=true do to subnormal numbers.
#pragma once

#include <bit>
#include <cstdint>

namespace karat::numerics {

/// A subnormal becomes a zero of its sign; everything else stays, NaN payloads included.
inline float flush_subnormal(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits & 0x7F800000) ? x : std::bit_cast<float>(bits & 0x80000000);
}

}  // namespace karat::numerics
