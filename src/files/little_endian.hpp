// Unsigned integers as little-endian bytes, whatever the machine's own order.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <span>

namespace karat::files {

template <std::unsigned_integral T>
constexpr std::array<std::byte, sizeof(T)> to_little_endian(T value) {
  std::array<std::byte, sizeof(T)> bytes{};
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  return bytes;
}

template <std::unsigned_integral T>
constexpr T from_little_endian(std::span<const std::byte, sizeof(T)> bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(bytes[i]) << (8 * i)));
  }
  return value;
}

}  // namespace karat::files
