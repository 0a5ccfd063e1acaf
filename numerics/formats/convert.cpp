// Scalar conversions: the truth that the array paths must equal.
// A number is taken apart into sign, integer and exponent, and rounded by round_magnitude().
#include "karat/numerics/formats/convert.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace karat::numerics {
namespace {

std::uint32_t nan_code(const Format& f, bool negative, const Policy& policy) {
  if (f.kind == Kind::integer) return 0;
  if (!f.has_nan()) return f.max_finite();
  const std::uint32_t sign = negative && policy.nan_sign == NanSign::keep ? f.sign_mask() : 0;
  const bool quiet =
      policy.nan_payload == NanPayload::quiet && f.specials == Specials::infinity_and_nan;
  return sign | (quiet ? f.infinity() | (1u << (f.fraction_bits - 1)) : f.magnitude_mask());
}

/// Code for a magnitude beyond the largest finite one; its sign stays, whatever becomes of NaNs.
std::uint32_t overflow_code(const Format& f, bool negative, const Policy& policy) {
  const std::uint32_t sign = negative ? f.sign_mask() : 0;
  if (policy.overflow == Overflow::saturate || !f.has_nan()) return sign | f.max_finite();
  if (policy.overflow == Overflow::infinity && f.specials == Specials::infinity_and_nan) {
    return sign | f.infinity();
  }
  return nan_code(f, negative, {.nan_sign = NanSign::keep, .nan_payload = policy.nan_payload});
}

std::uint32_t encode_integer(const Format& f, bool negative, std::uint64_t m, int e,
                             const Policy& policy, std::uint32_t random) {
  const auto limit = static_cast<std::uint64_t>(f.max_finite()) + negative;
  // With no fraction and smallest exponent 0 the grid of round_magnitude() is 1 up to 2^0 only, so
  // the fraction width is chosen to cover the whole range.
  const std::uint64_t n =
      e >= f.bits ? limit
                  : std::min(limit, round_magnitude(m, e, 31, 31, negative, policy.rounding, random));
  return static_cast<std::uint32_t>(negative ? -n : n) & f.mask();
}

/// (-1)^negative * m * 2^e, Inf or NaN.
struct Parts {
  bool negative, infinite, nan;
  std::uint64_t m;
  int e;
};

/// Of an IEEE 754 number in `Bits` bits with `kFraction` bits of fraction.
template <typename Bits, int kFraction>
Parts take_apart(Bits bits) {
  constexpr int kExponentBits = 8 * sizeof(Bits) - 1 - kFraction;
  constexpr Bits kOne = 1;
  constexpr Bits kLargest = (kOne << kExponentBits) - 1;  // exponent of Inf and NaN
  const Bits exponent = (bits >> kFraction) & kLargest;
  const Bits fraction = bits & ((kOne << kFraction) - 1);
  constexpr int kUnit = static_cast<int>(kLargest / 2) + kFraction;  // 1 is 2^(kUnit) units
  return {.negative = bits >> (8 * sizeof(Bits) - 1) != 0,
          .infinite = exponent == kLargest && fraction == 0,
          .nan = exponent == kLargest && fraction != 0,
          .m = exponent ? fraction | kOne << kFraction : fraction,
          .e = static_cast<int>(exponent ? exponent : 1) - kUnit};
}

std::uint32_t encode_parts(const Parts& x, const Format& f, const Policy& policy,
                           std::uint32_t random) {
  if (x.nan) return nan_code(f, x.negative, policy);
  if (f.kind == Kind::power_of_two && x.negative && (x.infinite || x.m != 0)) {
    return f.magnitude_mask();
  }
  if (f.kind == Kind::integer && x.infinite) return x.negative ? f.sign_mask() : f.max_finite();
  if (x.infinite) return overflow_code(f, x.negative, policy);
  const bool negative = x.negative;
  if (f.kind == Kind::integer) return encode_integer(f, negative, x.m, x.e, policy, random);
  const bool ties_up = f.kind == Kind::power_of_two && policy.power_ties == PowerTies::up &&
                       policy.rounding == Rounding::nearest_even;
  const std::uint64_t magnitude =
      round_magnitude(x.m, x.e, f.fraction_bits, f.min_exponent(), negative,
                      ties_up ? Rounding::nearest_away : policy.rounding, random,
                      f.kind == Kind::power_of_two ? 1 : 0);
  if (magnitude <= f.max_finite()) {
    return static_cast<std::uint32_t>(magnitude) | (negative ? f.sign_mask() : 0);
  }
  const bool back_to_zero =
      policy.rounding == Rounding::toward_zero ||
      policy.rounding == (negative ? Rounding::up : Rounding::down);
  return back_to_zero ? f.max_finite() | (negative ? f.sign_mask() : 0)
                      : overflow_code(f, negative, policy);
}

}  // namespace

std::uint32_t encode(float x, FormatId id, Policy policy, std::uint32_t random) {
  return encode_parts(take_apart<std::uint32_t, 23>(std::bit_cast<std::uint32_t>(x)), format(id),
                      policy, random);
}

std::uint32_t encode_f64(double x, FormatId id, Policy policy, std::uint32_t random) {
  return encode_parts(take_apart<std::uint64_t, 52>(std::bit_cast<std::uint64_t>(x)), format(id),
                      policy, random);
}

double decode_f64(std::uint32_t code, FormatId id) {
  return format(id).kind == Kind::integer ? static_cast<double>(ordinal(code, id))
                                          : static_cast<double>(decode(code, id));
}

float decode(std::uint32_t code, FormatId id) {
  const Format& f = format(id);
  if (f.is_nan(code)) return std::bit_cast<float>(0x7FC00000u);
  if (f.kind == Kind::integer) return static_cast<float>(ordinal(code, id));
  const bool negative = code & f.sign_mask();
  const std::uint32_t magnitude = code & f.magnitude_mask();
  if (f.is_infinity(code)) {
    return negative ? -std::numeric_limits<float>::infinity()
                    : std::numeric_limits<float>::infinity();
  }
  if (f.kind == Kind::power_of_two) return std::ldexp(1.0f, static_cast<int>(magnitude) - f.bias);
  const int exponent = static_cast<int>(magnitude >> f.fraction_bits);
  const std::uint32_t fraction = magnitude & ((1u << f.fraction_bits) - 1);
  const std::uint32_t m = exponent ? fraction | (1u << f.fraction_bits) : fraction;
  const float value = std::ldexp(static_cast<float>(m),
                                 std::max(exponent, 1) - f.bias - f.fraction_bits);
  return negative ? -value : value;
}

}  // namespace karat::numerics
