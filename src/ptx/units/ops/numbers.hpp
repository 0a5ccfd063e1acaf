// Private: number types of cvt and setp: how a register's word becomes a value, and back.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "karat/numerics/formats/convert.hpp"
#include "units/lanes.hpp"
#include "units/ops/directed.hpp"
#include "units/ops/f32_words.hpp"

namespace karat::ptx::units {

/// The register word of an integer type.
template <typename T>
using WordOf = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

/// An integer in a register: 16 bits and more as they are, zeros above; 8 bits are extended by
/// their sign to 16, the narrowest register.
template <typename T>
constexpr WordOf<T> integer_word(T x) {
  if constexpr (sizeof(T) == 1) {
    return static_cast<std::uint16_t>(x);
  } else {
    return static_cast<std::make_unsigned_t<T>>(x);
  }
}

template <Flush kFlush>
struct F32Number {
  using Word = std::uint32_t;
  static double value(Word x) { return double{f32_in<kFlush>(x)}; }
};
struct F64Number {
  using Word = std::uint64_t;
  static double value(Word x) { return std::bit_cast<double>(x); }
};
template <numerics::FormatId kFormat>
struct SmallNumber {
  using Word = std::uint32_t;
  static double value(Word x) { return numerics::decode_f64(x & 0xFFFF, kFormat); }
};

enum class Rounded { nearest, away, zero, down, up };
constexpr Directed directed(Rounded mode) {
  return mode == Rounded::down ? Directed::down
         : mode == Rounded::up ? Directed::up
                               : Directed::zero;
}

/// An integer as a number of the same type; ties to even, whatever the rounding mode of the
/// machine.
template <Rounded kRounded>
double rounded_to_integer(double x) {
  switch (kRounded) {
    case Rounded::zero:
      return std::trunc(x);
    case Rounded::down:
      return std::floor(x);
    case Rounded::up:
      return std::ceil(x);
    case Rounded::away:
      return std::round(x);
    case Rounded::nearest:
      break;
  }
  const double low = std::floor(x), rest = x - low;  // exact below 2^52, 0 above
  const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(low, 2.0) != 0);
  return std::copysign(low + (up ? 1.0 : 0.0), x);
}

template <typename Op, typename To, typename From>
void run_each(void* d, const void* a, const void*, const void*) {
  auto* out = static_cast<To*>(d);
  const auto* x = static_cast<const From*>(a);
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = Op::of(x[lane]);
}

}  // namespace karat::ptx::units
