// Number formats as one table of data; everything else about a format is derived from its row.
// A further format is one more row (and one more FormatId).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace karat::numerics {

enum class FormatId : std::uint8_t {
  e4m3, e5m2, e8m0, e2m1, f16, bf16, tf32, f32, int8, int4, int32
};

/// What the largest exponent field means.
enum class Specials : std::uint8_t {
  infinity_and_nan,  ///< IEEE 754: all ones is Inf (fraction 0) or NaN
  nan_only,          ///< one NaN per sign, at the all-ones code (OFP8 E4M3, E8M0); no Inf
  none,              ///< every code is a finite number (E2M1)
};

enum class Kind : std::uint8_t {
  floating,      ///< sign, exponent, fraction; subnormals below the smallest exponent
  power_of_two,  ///< exponent alone: unsigned, no zero, no subnormals (E8M0)
  integer,       ///< two's complement
};

/// One row of the table. A code is the format's bits in the low end of a word:
/// value = (-1)^sign * 2^(max(E,1) - bias) * (E ? 1 + f : f), f = fraction / 2^fraction_bits.
struct Format {
  FormatId id;
  std::string_view name;
  Kind kind;
  int bits;
  int exponent_bits;
  int fraction_bits;
  int bias;
  Specials specials;

  constexpr bool has_sign() const { return kind != Kind::power_of_two; }
  constexpr std::uint32_t mask() const { return bits == 32 ? ~0u : (1u << bits) - 1; }
  constexpr std::uint32_t sign_mask() const { return has_sign() ? 1u << (bits - 1) : 0; }
  constexpr std::uint32_t magnitude_mask() const { return mask() & ~sign_mask(); }
  /// Exponent of the smallest normal number (and of all subnormals).
  constexpr int min_exponent() const { return kind == Kind::power_of_two ? -bias : 1 - bias; }
  /// Magnitude of Inf's code; meaningful only with Specials::infinity_and_nan.
  constexpr std::uint32_t infinity() const {
    return ((1u << exponent_bits) - 1) << fraction_bits;
  }
  /// Magnitude of the largest finite code: 448 is 0x7E in E4M3.
  constexpr std::uint32_t max_finite() const {
    if (kind == Kind::integer) return magnitude_mask();
    if (specials == Specials::infinity_and_nan) return infinity() - 1;
    return magnitude_mask() - (specials == Specials::nan_only ? 1 : 0);
  }
  constexpr bool has_nan() const {
    return kind != Kind::integer && specials != Specials::none;
  }
  constexpr bool is_nan(std::uint32_t code) const {
    return has_nan() && (code & magnitude_mask()) >
                            (specials == Specials::infinity_and_nan ? infinity() : max_finite());
  }
  constexpr bool is_infinity(std::uint32_t code) const {
    return kind == Kind::floating && specials == Specials::infinity_and_nan &&
           (code & magnitude_mask()) == infinity();
  }
  constexpr bool is_zero(std::uint32_t code) const {
    return kind != Kind::power_of_two &&
           (code & (kind == Kind::integer ? mask() : magnitude_mask())) == 0;
  }
};

inline constexpr Format kFormats[] = {
    // id, name, kind, bits, exponent, fraction, bias, specials
    {FormatId::e4m3, "e4m3", Kind::floating, 8, 4, 3, 7, Specials::nan_only},
    {FormatId::e5m2, "e5m2", Kind::floating, 8, 5, 2, 15, Specials::infinity_and_nan},
    {FormatId::e8m0, "e8m0", Kind::power_of_two, 8, 8, 0, 127, Specials::nan_only},
    {FormatId::e2m1, "e2m1", Kind::floating, 4, 2, 1, 1, Specials::none},
    {FormatId::f16, "f16", Kind::floating, 16, 5, 10, 15, Specials::infinity_and_nan},
    {FormatId::bf16, "bf16", Kind::floating, 16, 8, 7, 127, Specials::infinity_and_nan},
    {FormatId::tf32, "tf32", Kind::floating, 19, 8, 10, 127, Specials::infinity_and_nan},
    {FormatId::f32, "f32", Kind::floating, 32, 8, 23, 127, Specials::infinity_and_nan},
    {FormatId::int8, "int8", Kind::integer, 8, 0, 7, 0, Specials::none},
    {FormatId::int4, "int4", Kind::integer, 4, 0, 3, 0, Specials::none},
    {FormatId::int32, "int32", Kind::integer, 32, 0, 31, 0, Specials::none},
};

constexpr const Format& format(FormatId id) { return kFormats[static_cast<int>(id)]; }

/// All rows, in the order of FormatId.
std::span<const Format> formats();
/// @throws Error(usage) for an unknown name, suggesting the nearest.
const Format& format(std::string_view name);

/// Position of a code on the number line of its format: -0 and +0 are 0, neighbours differ by one,
/// Inf comes after the largest finite value. @pre the code is no NaN.
std::int64_t ordinal(std::uint32_t code, FormatId id);
/// Inverse of ordinal(); 0 gives +0 (E8M0: ordinal 0 is 2^-127).
std::uint32_t code_at(std::int64_t ordinal, FormatId id);
/// Codes of the next larger and next smaller value; the ends of the number line stay where they
/// are, and so does a NaN. next_up(-0) is the smallest positive value.
std::uint32_t next_up(std::uint32_t code, FormatId id);
std::uint32_t next_down(std::uint32_t code, FormatId id);
/// |ordinal(a) - ordinal(b)|; 0 when both are NaN, the largest int64 when one is.
std::int64_t ulp_distance(std::uint32_t a, std::uint32_t b, FormatId id);

}  // namespace karat::numerics
