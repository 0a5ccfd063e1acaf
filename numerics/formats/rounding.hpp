// The one rounding routine: an exact magnitude m * 2^e to a format's grid, under every mode.
// Conversions and tensor-core outputs both end here.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace karat::numerics {

enum class Rounding {
  nearest_even,  ///< ties to the even code
  toward_zero,
  up,            ///< toward +Inf
  down,          ///< toward -Inf
  nearest_away,  ///< ties away from zero
  stochastic,    ///< up with the probability of the discarded fraction, cut to 31 bits
};

/// Whether `discarded` / 2^shift, 0 <= discarded < 2^shift, is rounded away from zero.
/// @param odd     the lower neighbour's code is odd
/// @param random  32 random bits; only Rounding::stochastic looks at them (at the upper 31)
constexpr bool rounds_away(std::uint64_t discarded, int shift, bool odd, bool negative,
                           Rounding rounding, std::uint32_t random) {
  if (discarded == 0) return false;
  // discarded against one half; a shift beyond 64 leaves less than a half.
  const std::uint64_t half = shift <= 64 ? std::uint64_t{1} << (shift - 1) : ~std::uint64_t{0};
  switch (rounding) {
    case Rounding::nearest_even: return discarded > half || (discarded == half && odd && shift <= 64);
    case Rounding::nearest_away: return discarded >= half && shift <= 64;
    case Rounding::toward_zero: return false;
    case Rounding::up: return !negative;
    case Rounding::down: return negative;
    case Rounding::stochastic: {
      const int excess = shift - 31;
      const std::uint64_t fraction =
          excess <= 0 ? discarded << -excess : (excess < 64 ? discarded >> excess : 0);
      return fraction + (random >> 1) >= (std::uint64_t{1} << 31);
    }
  }
  return false;
}

/// Magnitude code of m * 2^e with `fraction_bits` below the leading bit and smallest exponent
/// `min_exponent` (a smaller value is a subnormal on the grid 2^(min_exponent - fraction_bits)).
/// The exponent is unbounded above: the caller compares the result with its largest code.
/// With q the exponent of the grid the code is ((q - q_min) << fraction_bits) + round(m * 2^(e-q)),
/// whose carry into the exponent field is just addition.
/// @param offset  subtracted from the code (1 for formats without subnormals, where code 0 is the
///                smallest power of two); ties go to the even code after the subtraction
constexpr std::uint64_t round_magnitude(std::uint64_t m, int e, int fraction_bits,
                                        int min_exponent, bool negative, Rounding rounding,
                                        std::uint32_t random = 0, std::uint64_t offset = 0) {
  if (m == 0) return 0;
  const int leading = std::bit_width(m) - 1 + e;
  const int q = std::max(leading, min_exponent) - fraction_bits;
  const auto base = static_cast<std::uint64_t>(q - (min_exponent - fraction_bits))
                    << fraction_bits;
  const int shift = q - e;
  if (shift <= 0) return base + (m << -shift) - offset;
  const std::uint64_t kept = shift < 64 ? m >> shift : 0;
  const std::uint64_t discarded = shift < 64 ? m - (kept << shift) : m;
  const bool odd = (base + kept - offset) & 1;
  const std::uint64_t code =
      base + kept + rounds_away(discarded, shift, odd, negative, rounding, random);
  return code > offset ? code - offset : 0;
}

}  // namespace karat::numerics
