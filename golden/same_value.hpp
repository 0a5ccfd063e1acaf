// When two values count as the same.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace karat::golden {

/// Equal bits, or both NaN; zeros of different sign are not the same.
inline bool same_value(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

}  // namespace karat::golden
