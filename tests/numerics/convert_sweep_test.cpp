// All floats, every format of the array paths, every rounding mode and overflow: the codes against
// intervals whose ends are exact rationals (integers over a power of two), not against arithmetic.
// Ordinary runs look at each interval end, its neighbours and a stride of 2^26 floats (overflow
// other than saturation under nearest even alone); KARAT_LONG=1 looks at all 2^32 for each pair.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

__extension__ typedef unsigned __int128 Wide;

/// A float's magnitude bits are its place in the order of magnitudes. For code magnitude c the
/// interval ends are real numbers v: value(c) or the midpoint of value(c) and value(c+1).
/// `first` is the smallest magnitude, as float bits, that belongs to the next code.
struct Ends {
  std::vector<std::uint32_t> first;
};

/// Value of a magnitude code as an integer multiple of half the format's smallest step, continued
/// beyond the largest finite code as if exponents went on.
Wide doubled_steps(const Format& f, std::uint32_t code) {
  const std::uint32_t exponent = code >> f.fraction_bits;
  const Wide fraction = code & ((1u << f.fraction_bits) - 1);
  if (exponent == 0) return 2 * fraction;
  return ((fraction | (1u << f.fraction_bits)) << (exponent - 1)) * 2;
}

/// Smallest float magnitude that is > bound (or >= bound) * 2^unit. Exact for bounds below 2^100:
/// searched in the float order with exact comparisons.
std::uint32_t first_beyond(Wide bound, int unit, bool or_equal) {
  const auto beyond = [&](std::uint32_t bits) {
    const int exponent = static_cast<int>(std::max(bits >> 23, 1u)) - 150;
    const Wide m = (bits >> 23) ? (bits & 0x7FFFFF) | 0x800000 : bits;
    const int shift = exponent - unit;  // compare m * 2^shift with bound
    if (shift >= 0) {
      if (shift > 100) return m != 0;
      return or_equal ? (m << shift) >= bound : (m << shift) > bound;
    }
    if (shift < -127) return bound == 0 && (or_equal || m != 0);
    const Wide scaled = m >> -shift;
    const bool exact = (scaled << -shift) == m;
    return scaled > bound || (scaled == bound && (or_equal || !exact));
  };
  std::uint32_t low = 0, high = 0x7F800000;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (beyond(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

Ends interval_ends(const Format& f, Rounding rounding, bool negative) {
  const bool away = rounding == (negative ? Rounding::down : Rounding::up);
  const int unit = f.min_exponent() - f.fraction_bits - 1;
  Ends ends;
  for (std::uint32_t code = 0; code <= f.max_finite(); ++code) {
    const Wide value = doubled_steps(f, code), next = doubled_steps(f, code + 1);
    switch (rounding) {
      case Rounding::nearest_even:
        ends.first.push_back(first_beyond((value + next) / 2, unit, code % 2 == 1));
        break;
      case Rounding::nearest_away:
        ends.first.push_back(first_beyond((value + next) / 2, unit, true));
        break;
      default:
        ends.first.push_back(away ? first_beyond(value, unit, false)
                                  : first_beyond(next, unit, true));
    }
  }
  return ends;
}

/// What a magnitude beyond the last interval becomes, from the table of conventions.
std::uint32_t beyond_code(const Format& f, const Policy& p, bool negative, bool infinite) {
  const std::uint32_t sign = negative ? f.sign_mask() : 0;
  const bool back = p.rounding == Rounding::toward_zero ||
                    p.rounding == (negative ? Rounding::up : Rounding::down);
  if (f.specials == Specials::none || p.overflow == Overflow::saturate || (back && !infinite)) {
    return sign | f.max_finite();
  }
  if (f.specials == Specials::infinity_and_nan && p.overflow == Overflow::infinity) {
    return sign | f.infinity();
  }
  return sign | f.magnitude_mask();
}

/// Checks magnitudes begin, begin + stride, ... below end. Between two interval ends the expected
/// code stays the same, so each such run is one count of the codes that differ from it.
template <typename Code>
void check_range(const Format& f, const Policy& p, const Ends& ends, std::uint32_t sign,
                 std::uint64_t begin, std::uint64_t end, std::uint64_t stride) {
  constexpr std::uint64_t kChunk = 1 << 14;
  std::vector<float> x(kChunk);
  std::vector<Code> codes(kChunk);
  const bool negative = sign != 0;
  const std::uint32_t sign_bit = negative ? f.sign_mask() : 0;
  for (std::uint64_t chunk = begin; chunk < end; chunk += kChunk * stride) {
    const std::size_t size = std::min(kChunk, (end - chunk + stride - 1) / stride);
    const auto first = static_cast<std::uint32_t>(chunk), step = static_cast<std::uint32_t>(stride);
    for (std::uint32_t i = 0; i < size; ++i) x[i] = std::bit_cast<float>((first + i * step) | sign);
    encode(std::span(x).first(size), std::span(codes).first(size), f.id, p);
    for (std::size_t i = 0; i < size;) {
      const std::uint64_t bits = chunk + i * stride;
      std::uint32_t expected;
      std::uint64_t until;
      if (bits > 0x7F800000) {
        expected = !f.has_nan() ? f.max_finite() : f.magnitude_mask() |
                       (p.nan_sign == NanSign::keep ? sign_bit : 0);
        until = 0x80000000;
      } else {
        const auto at = std::upper_bound(ends.first.begin(), ends.first.end(), bits);
        const auto magnitude = static_cast<std::uint32_t>(at - ends.first.begin());
        const bool over = at == ends.first.end() || bits == 0x7F800000;
        expected = over ? beyond_code(f, p, negative, bits == 0x7F800000) : magnitude | sign_bit;
        until = bits == 0x7F800000 ? 0x7F800001 : over ? 0x7F800000 : *at;
      }
      const std::size_t last = std::min<std::size_t>(size, i + (until - bits + stride - 1) / stride);
      const auto differs = [&](Code code) { return code != expected; };
      if (std::count_if(&codes[i], &codes[0] + last, differs) > 0) {
        const auto at = std::find_if(&codes[i], &codes[0] + last, differs);
        FAIL() << f.name << " bits " << std::hex << ((chunk + stride * (at - &codes[0])) | sign)
               << " got " << +*at << " expected " << expected;
      }
      i = last;
    }
  }
}

template <typename Code>
void sweep(FormatId id) {
  const Format& f = format(id);
  // Of 8-bit formats every 61st float, 2^26 of them; a prime, so that all low bits occur.
  const std::uint64_t stride = f.bits != 8 ? 61 * 31 : testing::long_run() ? 1 : 61;
  for (Rounding rounding : {Rounding::nearest_even, Rounding::toward_zero, Rounding::up,
                            Rounding::down, Rounding::nearest_away}) {
    for (bool negative : {false, true}) {
      const Ends ends = interval_ends(f, rounding, negative);
      const std::uint32_t sign = negative ? 0x80000000u : 0;
      for (Overflow overflow : {Overflow::saturate, Overflow::nan, Overflow::infinity}) {
        const NanSign nan_sign = overflow == Overflow::nan ? NanSign::keep : NanSign::drop;
        const Policy p{.rounding = rounding, .overflow = overflow, .nan_sign = nan_sign};
        const bool whole_line = overflow == Overflow::saturate ||
                                rounding == Rounding::nearest_even || testing::long_run();
        if (whole_line) check_range<Code>(f, p, ends, sign, 0, 0x80000000, stride);
        const std::size_t step = std::max<std::size_t>(1, ends.first.size() / 2000);
        for (std::size_t e = 0; e < ends.first.size(); e += step) {
          const std::uint64_t middle = ends.first[e];
          check_range<Code>(f, p, ends, sign, middle < 3 ? 0 : middle - 3, middle + 3, 1);
        }
        check_range<Code>(f, p, ends, sign, 0x7F7FFFF0, 0x7F800010, 1);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(ConvertSweep, E4m3) { sweep<std::uint8_t>(FormatId::e4m3); }
TEST(ConvertSweep, E5m2) { sweep<std::uint8_t>(FormatId::e5m2); }
TEST(ConvertSweep, E2m1) { sweep<std::uint8_t>(FormatId::e2m1); }
TEST(ConvertSweep, F16) { sweep<std::uint16_t>(FormatId::f16); }

// BF16 shares f32's exponents, so its ends follow from the bits alone.
TEST(ConvertSweep, Bf16) {
  std::vector<float> x;
  for (std::uint64_t b = 0; b < (1ull << 32); b += testing::long_run() ? 17 : 1009) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(b)));
  }
  for (std::uint32_t high = 0; high < 0x10000; ++high) {
    for (std::uint32_t low : {0x0000u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      x.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  std::vector<std::uint16_t> codes(x.size());
  round_to_bf16(x, codes);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x[i]), low = bits & 0xFFFF;
    const std::uint32_t up = low > 0x8000 || (low == 0x8000 && (bits >> 16) % 2);
    const std::uint32_t expected = std::isnan(x[i]) ? 0x7FFF : (bits >> 16) + up;
    ASSERT_EQ(codes[i], expected) << std::hex << bits;
  }
}

// The scalar routine and every SIMD target on all formats, modes and a mix of magnitudes.
TEST(ConvertSweep, FastEqualsScalar) {
  std::vector<float> x;
  testing::Random random(1);
  const std::size_t count = testing::long_run() ? 4'000'000 : 100'003;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits = random();
    // Half of them near the formats' own ranges, a quarter with short significands (ties).
    if (i % 2) bits = (bits & 0x807FFFFF) | ((100 + random.below(60)) << 23);
    if (i % 4 == 1) bits &= 0xFFFF0000;
    // Some about to overflow bf16 when rounded by chance.
    if (i % 512 == 2) bits = (bits & 0x8000FFFF) | 0x7F7F0000;
    x.push_back(std::bit_cast<float>(bits));
  }
  std::vector<std::uint8_t> bytes(x.size());
  std::vector<std::uint16_t> words(x.size());
  testing::for_each_target([&](const std::string& target) {
    for (FormatId id : {FormatId::e4m3, FormatId::e5m2, FormatId::e2m1, FormatId::f16,
                        FormatId::bf16}) {
      for (Rounding rounding : {Rounding::nearest_even, Rounding::toward_zero, Rounding::up,
                                Rounding::down, Rounding::nearest_away, Rounding::stochastic}) {
        const Policy p{rounding, Overflow::infinity, NanSign::keep, NanPayload::quiet};
        encode(x, words, id, p, {.seed = 5, .stream = 6, .first = 1});
        const bool small = format(id).bits <= 8;
        if (small) encode(x, bytes, id, p, {.seed = 5, .stream = 6, .first = 1});
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::uint32_t chance =
              rounding == Rounding::stochastic ? random_bits(5, 6, 1 + i) : 0;
          const std::uint32_t expected = encode(x[i], id, p, chance);
          ASSERT_EQ(words[i], expected) << target << " " << format(id).name << " " << std::hex
                                        << std::bit_cast<std::uint32_t>(x[i]);
          if (small) {
            ASSERT_EQ(bytes[i], expected);
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace karat::numerics
