// Private: what cvt makes of one lane's word. PTX ISA, "cvt".
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "karat/numerics/formats/convert.hpp"
#include "units/ops/directed.hpp"
#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"
#include "units/ops/numbers.hpp"

namespace karat::ptx::units {

template <Rounded kRounded>
constexpr numerics::Rounding kRounding =
    kRounded == Rounded::zero   ? numerics::Rounding::toward_zero
    : kRounded == Rounded::down ? numerics::Rounding::down
    : kRounded == Rounded::up   ? numerics::Rounding::up
    : kRounded == Rounded::away ? numerics::Rounding::nearest_away
                                : numerics::Rounding::nearest_even;

/// Truncates, or clamps to the range of To; then fills a register's word.
template <typename To, typename From, Clamp kClamp>
struct IntegerToInteger {
  static auto of(WordOf<From> word) {
    const From x = static_cast<From>(word);
    if constexpr (kClamp == Clamp::yes) {
      using Limits = std::numeric_limits<To>;
      if (std::cmp_less(x, Limits::min())) return integer_word(Limits::min());
      if (std::cmp_greater(x, Limits::max())) return integer_word(Limits::max());
    }
    return integer_word(static_cast<To>(x));
  }
};

/// To the nearest integer or in one direction, clamped to the range of To. NaN gives 0; from f64 or
/// to 64 bits the number with the top bit alone.
template <typename To, typename Source, Rounded kRounded>
struct ToInteger {
  static auto of(typename Source::Word word) {
    const double x = Source::value(word);
    if (std::isnan(x)) {
      constexpr bool kTopBit = sizeof(To) == 8 || std::is_same_v<Source, F64Number>;
      using Bits = std::make_unsigned_t<To>;
      const Bits top = static_cast<Bits>(Bits{1} << (8 * sizeof(To) - 1));
      return integer_word(static_cast<To>(kTopBit ? top : Bits{0}));
    }
    const double whole = rounded_to_integer<kRounded>(x);
    // The bounds as powers of two, which f64 holds for every type.
    const double high = std::ldexp(1.0, std::numeric_limits<To>::digits);
    const double low = std::is_signed_v<To> ? -high : 0;
    if (whole >= high) return integer_word(std::numeric_limits<To>::max());
    if (whole < low) return integer_word(std::numeric_limits<To>::min());
    return integer_word(static_cast<To>(whole));
  }
};

/// An integer to f32: exact in f64 with its remainder, then rounded once.
template <typename From, Rounded kRounded>
struct ToF32 {
  static std::uint32_t of(WordOf<From> word) {
    const From x = static_cast<From>(word);
    if constexpr (kRounded == Rounded::nearest) {
      return std::bit_cast<std::uint32_t>(static_cast<float>(x));
    } else if constexpr (sizeof(From) <= 4) {
      // f64 holds x; the nearest f32 moves by one code where it lies on the wrong side.
      const double exact = static_cast<double>(x);
      const auto nearest = static_cast<float>(exact);
      const double place = double{nearest};
      const bool negative = nearest < 0;
      const bool above = place > exact, below = place < exact;
      const bool wrong = kRounded == Rounded::down ? above
                         : kRounded == Rounded::up ? below
                                                   : (negative ? below : above);
      const std::uint32_t step = (kRounded == Rounded::zero || above != negative) ? ~0u : 1u;
      return std::bit_cast<std::uint32_t>(nearest) + (wrong ? step : 0);
    } else {
      // A 64-bit integer is the sum of two parts that f64 holds.
      const auto low = static_cast<From>(x & 0xFFFF);
      const double a = static_cast<double>(x - low), b = static_cast<double>(low), s = a + b;
      const double t = s - a, lost = (a - (s - t)) + (b - t);
      return std::bit_cast<std::uint32_t>(round_directed<directed(kRounded)>(s, lost));
    }
  }
};
/// An integer to f64; the nearest number moves by one where it lies on the wrong side.
template <typename From, Rounded kRounded>
struct ToF64 {
  static std::uint64_t of(WordOf<From> word) {
    const From x = static_cast<From>(word);
    double nearest = static_cast<double>(x);
    if constexpr (sizeof(From) == 8 && kRounded != Rounded::nearest) {
      __extension__ using Wide = __int128;
      const Wide exact = x, place = static_cast<Wide>(nearest);
      const bool down = kRounded == Rounded::down || (kRounded == Rounded::zero && exact > 0);
      const double end = std::copysign(std::numeric_limits<double>::infinity(), down ? -1.0 : 1.0);
      if (down ? place > exact : place < exact) nearest = std::nextafter(nearest, end);
    }
    return std::bit_cast<std::uint64_t>(nearest);
  }
};
/// An integer to f16 or bf16. What f64 does not hold is rounded to odd first, far below the last
/// bit that counts.
template <typename From, numerics::FormatId kFormat, Rounded kRounded>
struct ToHalf {
  static std::uint32_t of(WordOf<From> word) {
    From x = static_cast<From>(word);
    if constexpr (sizeof(From) == 8) {
      constexpr From kExact = From{1} << 53, kLow = 0xFFF;
      const bool exact = x < kExact && (!std::is_signed_v<From> || x > -kExact);
      if (!exact && (x & kLow) != 0) x = static_cast<From>((x & ~kLow) | (kLow + 1));
    }
    return numerics::encode_f64(
        static_cast<double>(x), kFormat,
        {.rounding = kRounding<kRounded>, .overflow = numerics::Overflow::infinity});
  }
};
/// .sat of an integer: 0 or 1 before anything is rounded.
template <typename Op, typename From>
struct Saturated {
  static auto of(WordOf<From> word) {
    return Op::of(static_cast<From>(word) > From{0} ? WordOf<From>{1} : WordOf<From>{0});
  }
};

template <typename Source, Clamp kClamp>
struct ToDouble {
  static std::uint64_t of(typename Source::Word word) {
    double x = Source::value(word);
    if (kClamp == Clamp::yes) x = x > 0 ? std::fmin(x, 1.0) : 0.0;
    return std::isnan(x) ? kNan64 : std::bit_cast<std::uint64_t>(x);
  }
};
template <typename Source, Rounded kRounded, Flush kFlush, Clamp kClamp>
struct ToSingle {
  static std::uint32_t of(typename Source::Word word) {
    const double x = Source::value(word);
    float y = static_cast<float>(x);
    if constexpr (kRounded != Rounded::nearest) y = round_directed<directed(kRounded)>(x, 0);
    return f32_out<kFlush, kClamp>(y);
  }
};
/// f32 or f64 rounded to an integer that stays in its format.
template <Rounded kRounded, Flush kFlush, Clamp kClamp>
struct WholeSingle {
  static std::uint32_t of(std::uint32_t word) {
    const float x = f32_in<kFlush>(word);
    return f32_out<kFlush, kClamp>(static_cast<float>(rounded_to_integer<kRounded>(x)));
  }
};
template <Rounded kRounded>
struct WholeDouble {
  static std::uint64_t of(std::uint64_t word) {
    const double x = rounded_to_integer<kRounded>(std::bit_cast<double>(word));
    return std::isnan(x) ? kNan64 : std::bit_cast<std::uint64_t>(x);
  }
};

/// f16 or bf16 rounded to an integer that stays in its format.
template <numerics::FormatId kFormat, Rounded kRounded>
struct WholeSmall {
  static std::uint32_t of(std::uint32_t word) {
    const double x = rounded_to_integer<kRounded>(SmallNumber<kFormat>::value(word));
    return std::isnan(x) ? kNan16 : numerics::encode_f64(x, kFormat, numerics::kAsComputed);
  }
};

enum class Relu { no, yes };

/// To f16, bf16 or tf32 (an f32 word whose low 13 bits are zero).
template <typename Source, numerics::FormatId kFormat, Rounded kRounded, Relu kRelu, Clamp kClamp,
          numerics::Overflow kOverflow>
struct ToSmall {
  static std::uint32_t of(typename Source::Word word) {
    double x = Source::value(word);
    if (kClamp == Clamp::yes) x = x > 0 ? std::fmin(x, 1.0) : 0.0;
    if (kRelu == Relu::yes && !(x > 0) && !std::isnan(x)) x = 0;
    const std::uint32_t code =
        numerics::encode_f64(x, kFormat, {.rounding = kRounding<kRounded>, .overflow = kOverflow});
    return kFormat == numerics::FormatId::tf32 ? code << 13 : code;
  }
};

}  // namespace karat::ptx::units
