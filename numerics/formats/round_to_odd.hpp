// The rounding that leaves the next one exact.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace karat::numerics {

/// x cut to f32, the last bit set where the cut was inexact: rounding that again to a format of at
/// most 22 significant bits rounds x once.
inline float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  if (nearest == x || std::isnan(nearest)) return nearest;
  const float cut = std::abs(nearest) > std::abs(x) ? std::nextafter(nearest, 0.0f) : nearest;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(cut) | 1u);
}

}  // namespace karat::numerics
