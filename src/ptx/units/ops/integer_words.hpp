// Private: integer types of lanes: the word a register keeps them in, the type of their product.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace karat::ptx::units {
__extension__ typedef __int128 S128;
__extension__ typedef unsigned __int128 U128;

/// The register word of T.
template <typename T>
using WordOf = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

template <typename T>
struct WiderOf;
template <>
struct WiderOf<std::uint16_t> {
  using Type = std::uint32_t;
};
template <>
struct WiderOf<std::int16_t> {
  using Type = std::int32_t;
};
template <>
struct WiderOf<std::uint32_t> {
  using Type = std::uint64_t;
};
template <>
struct WiderOf<std::int32_t> {
  using Type = std::int64_t;
};
template <>
struct WiderOf<std::uint64_t> {
  using Type = U128;
};
template <>
struct WiderOf<std::int64_t> {
  using Type = S128;
};
template <typename T>
using Wider = typename WiderOf<T>::Type;

/// A value as its register holds it: zeros above.
template <typename T>
constexpr auto word(T x) {
  return static_cast<WordOf<T>>(static_cast<std::make_unsigned_t<T>>(x));
}
template <typename T>
constexpr T clamped(std::int64_t x) {
  constexpr std::int64_t low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
  return static_cast<T>(x < low ? low : x > high ? high : x);
}

enum class Half { low, high };

}  // namespace karat::ptx::units
