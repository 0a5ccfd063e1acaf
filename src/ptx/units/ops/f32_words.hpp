// Private: what happens to f32 bits before and after every operation, without branches.
#pragma once

#include <bit>
#include <cstdint>

#include "units/ops/families.hpp"

namespace karat::ptx::units {

inline constexpr std::uint32_t kNan32 = 0x7FFFFFFF;
inline constexpr std::uint64_t kNan64 = 0xFFF8000000000000;
inline constexpr std::uint16_t kNan16 = 0x7FFF;

constexpr bool is_nan_word(std::uint32_t x) { return (x & 0x7FFFFFFF) > 0x7F800000; }

template <Flush kFlush>
constexpr std::uint32_t flushed(std::uint32_t x) {
  if constexpr (kFlush == Flush::no) return x;
  return (x & 0x7F800000) == 0 ? x & 0x80000000 : x;
}

template <Flush kFlush>
constexpr float f32_in(std::uint32_t x) {
  return std::bit_cast<float>(flushed<kFlush>(x));
}

/// Canonical NaN, flushed, clamped to [0, 1] (NaN to +0).
template <Flush kFlush, Clamp kClamp>
constexpr std::uint32_t f32_out(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if constexpr (kClamp == Clamp::yes) {
    const auto magnitude = static_cast<std::int32_t>(flushed<kFlush>(bits));
    const std::int32_t one = 0x3F800000;
    const std::int32_t low = magnitude > 0 ? magnitude : 0;
    return is_nan_word(bits) ? 0 : static_cast<std::uint32_t>(low < one ? low : one);
  }
  return is_nan_word(bits) ? kNan32 : flushed<kFlush>(bits);
}

/// Place of a number on the number line, -0 just below +0.
constexpr std::int32_t f32_place(std::uint32_t x) {
  return static_cast<std::int32_t>(x) ^
         static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::int32_t>(x) >> 31) >>
                                   1);
}

}  // namespace karat::ptx::units
