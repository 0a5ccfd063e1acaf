// Codes as value types: a code is not a float, so conversions are explicit and nothing is implied
// about arithmetic. numeric_limits is complete and derived from the format table.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/formats/format.hpp"

namespace karat::numerics {

template <FormatId kId>
class SmallFloat {
 public:
  static constexpr const Format& kFormat = numerics::format(kId);
  using Bits = std::conditional_t<kFormat.bits <= 8, std::uint8_t,
                                  std::conditional_t<kFormat.bits <= 16, std::uint16_t,
                                                     std::uint32_t>>;

  constexpr SmallFloat() = default;
  explicit SmallFloat(float x, Policy policy = {})
      : bits_(static_cast<Bits>(encode(x, kId, policy))) {}
  static constexpr SmallFloat from_bits(std::uint32_t bits) {
    SmallFloat x;
    x.bits_ = static_cast<Bits>(bits & kFormat.mask());
    return x;
  }

  constexpr Bits bits() const { return bits_; }
  explicit operator float() const { return decode(bits_, kId); }

  constexpr bool is_nan() const { return kFormat.is_nan(bits_); }
  constexpr bool is_infinity() const { return kFormat.is_infinity(bits_); }
  SmallFloat next_up() const { return from_bits(numerics::next_up(bits_, kId)); }
  SmallFloat next_down() const { return from_bits(numerics::next_down(bits_, kId)); }

  /// By value: -0 equals +0, NaN is unordered.
  friend bool operator==(SmallFloat a, SmallFloat b) {
    return !a.is_nan() && !b.is_nan() && ordinal(a.bits_, kId) == ordinal(b.bits_, kId);
  }
  friend std::partial_ordering operator<=>(SmallFloat a, SmallFloat b) {
    if (a.is_nan() || b.is_nan()) return std::partial_ordering::unordered;
    return ordinal(a.bits_, kId) <=> ordinal(b.bits_, kId);
  }

 private:
  Bits bits_ = 0;
};

using E4m3 = SmallFloat<FormatId::e4m3>;
using E5m2 = SmallFloat<FormatId::e5m2>;
using E8m0 = SmallFloat<FormatId::e8m0>;
using E2m1 = SmallFloat<FormatId::e2m1>;
using F16 = SmallFloat<FormatId::f16>;
using Bf16 = SmallFloat<FormatId::bf16>;
using Tf32 = SmallFloat<FormatId::tf32>;
using Int8 = SmallFloat<FormatId::int8>;
using Int4 = SmallFloat<FormatId::int4>;

}  // namespace karat::numerics

template <karat::numerics::FormatId kId>
class std::numeric_limits<karat::numerics::SmallFloat<kId>> {
  using T = karat::numerics::SmallFloat<kId>;
  static constexpr const karat::numerics::Format& f = T::kFormat;
  static constexpr bool kFloating = f.kind == karat::numerics::Kind::floating;
  static constexpr bool kInteger = f.kind == karat::numerics::Kind::integer;
  static constexpr bool kHasInfinity =
      kFloating && f.specials == karat::numerics::Specials::infinity_and_nan;
  // floor(n * log10(2)) and ceil(n * log10(2)), exact for the sizes that occur.
  static constexpr int floor_log10_2(int n) {
    return n >= 0 ? n * 30103 / 100000 : -((-n * 30103 + 99999) / 100000);
  }
  static constexpr int ceil_log10_2(int n) { return -floor_log10_2(-n); }

 public:
  static constexpr bool is_specialized = true;
  static constexpr bool is_signed = f.has_sign();
  static constexpr bool is_integer = kInteger;
  static constexpr bool is_exact = kInteger;
  static constexpr bool has_infinity = kHasInfinity;
  static constexpr bool has_quiet_NaN = f.has_nan();
  static constexpr bool has_signaling_NaN = false;
  static constexpr std::float_denorm_style has_denorm =
      kFloating ? std::denorm_present : std::denorm_absent;
  static constexpr bool has_denorm_loss = false;
  static constexpr std::float_round_style round_style = std::round_to_nearest;
  static constexpr bool is_iec559 = false;
  static constexpr bool is_bounded = true;
  static constexpr bool is_modulo = false;
  static constexpr int radix = 2;
  static constexpr int digits = kInteger ? f.bits - 1 : f.fraction_bits + 1;
  static constexpr int digits10 = floor_log10_2(kInteger ? f.bits - 1 : f.fraction_bits);
  static constexpr int max_digits10 = kInteger ? 0 : ceil_log10_2(digits) + 1;
  static constexpr int min_exponent = kInteger ? 0 : f.min_exponent() + 1;
  static constexpr int max_exponent =
      kInteger ? 0
               : static_cast<int>(f.max_finite() >> f.fraction_bits) - f.bias + 1;
  static constexpr int min_exponent10 = kInteger ? 0 : -floor_log10_2(-f.min_exponent());
  static constexpr int max_exponent10 = kInteger ? 0 : floor_log10_2(max_exponent);
  static constexpr bool traps = false;
  static constexpr bool tinyness_before = false;

  static constexpr T min() {
    return kInteger ? lowest() : T::from_bits(kFloating ? 1u << f.fraction_bits : 0);
  }
  static constexpr T lowest() {
    if (kInteger) return T::from_bits(f.sign_mask());
    return f.has_sign() ? T::from_bits(f.max_finite() | f.sign_mask()) : T::from_bits(0);
  }
  static constexpr T max() { return T::from_bits(f.max_finite()); }
  /// Distance from 1 to the next value (E8M0: from 1 to 2); zero for integers.
  static constexpr T epsilon() {
    if (kInteger) return T();
    if (!kFloating) return T::from_bits(static_cast<std::uint32_t>(f.bias));
    return power(-f.fraction_bits);
  }
  /// One half; zero for integers.
  static constexpr T round_error() {
    if (kInteger) return T();
    return kFloating ? power(-1) : T::from_bits(static_cast<std::uint32_t>(f.bias - 1));
  }
  static constexpr T infinity() { return kHasInfinity ? T::from_bits(f.infinity()) : T(); }
  static constexpr T quiet_NaN() { return f.has_nan() ? T::from_bits(f.magnitude_mask()) : T(); }
  static constexpr T signaling_NaN() { return quiet_NaN(); }
  static constexpr T denorm_min() { return kFloating ? T::from_bits(1) : min(); }

 private:
  /// 2^e as a code, normal or subnormal.
  static constexpr T power(int e) {
    return e >= f.min_exponent()
               ? T::from_bits(static_cast<std::uint32_t>(e + f.bias) << f.fraction_bits)
               : T::from_bits(1u << (e - f.min_exponent() + f.fraction_bits));
  }
};
