// Decimals against midpoints of neighbouring codes, moved by one digit far behind, and against
// MPFR.
#include "karat/numerics/formats/decimal.hpp"

#include <gtest/gtest.h>
#include <mpfr.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "karat/numerics/formats/format.hpp"

namespace karat::numerics {
namespace {

std::uint32_t code_of(std::string_view text, FormatId id, Policy policy = {}) {
  return encode_decimal(text, id, policy).value();
}

TEST(Decimal, UnderflowIsNoOverflow) {
  for (const Format& f : formats()) {
    if (f.kind == Kind::power_of_two) continue;
    for (const char* tiny : {"1e-46", "1e-400", "0.0000001e-999999999999999999999"}) {
      const std::string negative = "-" + std::string(tiny);
      EXPECT_EQ(code_of(tiny, f.id), 0u) << f.name << tiny;
      EXPECT_EQ(code_of(negative, f.id), f.kind == Kind::integer ? 0u : f.sign_mask());
      EXPECT_EQ(code_of(tiny, f.id, {.rounding = Rounding::up}), 1u) << f.name << tiny;
      EXPECT_EQ(code_of(negative, f.id, {.rounding = Rounding::up}) & f.magnitude_mask(), 0u);
    }
    for (const char* huge : {"1e40", "1e400", "1000000e999999999999999999999"}) {
      EXPECT_EQ(code_of(huge, f.id), f.max_finite()) << f.name << huge;
      EXPECT_EQ(
          code_of(huge, f.id, {.rounding = Rounding::toward_zero, .overflow = Overflow::infinity}),
          f.max_finite());
    }
  }
  EXPECT_EQ(code_of("1e-46", FormatId::e8m0), 0u);  // 2^-127, the smallest there is
  EXPECT_EQ(code_of("1e400", FormatId::f16, {.overflow = Overflow::infinity}), 0x7C00u);
}

TEST(Decimal, RoundsOnce) {
  EXPECT_EQ(code_of("-432", FormatId::e4m3), 0xFEu);                 // the tie goes to 448
  EXPECT_EQ(code_of("-431.99999999999994", FormatId::e4m3), 0xFDu);  // an f32 of it is the tie
  EXPECT_EQ(code_of("431.9999999999999999999999999", FormatId::e4m3), 0x7Du);  // an f64 too
  EXPECT_EQ(code_of("16777217", FormatId::int32), 16777217u);
  EXPECT_EQ(code_of("2147483647", FormatId::int32), 2147483647u);
  EXPECT_EQ(code_of("2147483647.5", FormatId::int32), 2147483647u);  // saturates
  EXPECT_EQ(code_of("-2147483649", FormatId::int32), 0x80000000u);
  EXPECT_EQ(code_of("1.00000005960464477539062500000001", FormatId::f32), 0x3F800001u);
  EXPECT_EQ(code_of("1.00000005960464477539062500000000", FormatId::f32), 0x3F800000u);
  EXPECT_EQ(code_of("-0", FormatId::f16), 0x8000u);
  EXPECT_EQ(code_of("0e999999999999999999999", FormatId::f16), 0u);
  EXPECT_EQ(code_of("-inf", FormatId::bf16, {.overflow = Overflow::infinity}), 0xFF80u);
  EXPECT_EQ(code_of("nan", FormatId::bf16), 0x7FFFu);
}

TEST(Decimal, RefusesWhatIsNoNumber) {
  for (const char* text : {"", "-", "+1", "1x", " 1", "1 ", "0x10", "1e", ".", "--1", "e5", "1,5"})
    EXPECT_FALSE(encode_decimal(text, FormatId::e4m3)) << text;
}

/// All digits of a number that is not negative, "d.ddd" and a power of ten.
struct Expansion {
  std::string mantissa, power;

  explicit Expansion(double x) {
    std::array<char, 800> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), x,
                                   std::chars_format::scientific, 766);
    const std::string all(text.data(), end.ptr);
    mantissa = all.substr(0, all.find('e'));
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    power = all.substr(all.find('e'));
  }
  std::string exact() const { return mantissa + power; }
  std::string above() const { return mantissa + std::string(40, '0') + "1" + power; }
  std::string below() const {
    std::string less = mantissa;
    std::size_t last = less.size() - 1;
    if (less[last] == '.') --last;
    --less[last];
    return less + std::string(40, '9') + power;
  }
};

TEST(Decimal, MidpointsAndTheirSurroundings) {
  std::mt19937 random(7);
  for (const Format& f : formats()) {
    const bool all = f.bits <= 8;
    for (std::uint32_t i = 0; i < (all ? f.max_finite() : 3000); ++i) {
      const std::uint32_t below = all ? i : random() % f.max_finite();
      const double middle = (decode_f64(below, f.id) + decode_f64(below + 1, f.id)) / 2;
      const Expansion text(middle);
      const std::uint32_t even = below + (below & 1);
      ASSERT_EQ(code_of(text.exact(), f.id), even) << f.name << " " << text.exact();
      ASSERT_EQ(code_of(text.above(), f.id), below + 1) << f.name << " " << text.above();
      ASSERT_EQ(code_of(text.below(), f.id), below) << f.name << " " << text.below();
      ASSERT_EQ(code_of(text.above(), f.id, {.rounding = Rounding::toward_zero}), below);
      ASSERT_EQ(code_of(text.exact(), f.id, {.rounding = Rounding::nearest_away}), below + 1);
      if (f.kind != Kind::floating) continue;
      ASSERT_EQ(code_of("-" + text.exact(), f.id), even | f.sign_mask());
      ASSERT_EQ(code_of("-" + text.below(), f.id), below | f.sign_mask());
      ASSERT_EQ(code_of("-" + text.below(), f.id, {.rounding = Rounding::down}),
                (below + 1) | f.sign_mask());
    }
  }
}

/// x rounded to the nearest code, ties to even, by comparing with midpoints on MPFR's number line.
std::uint32_t nearest_code(mpfr_t x, const Format& f) {
  const auto side = [&](std::uint32_t code) {  // of x against the midpoint of code and code + 1
    const double step = code < f.max_finite() ? decode_f64(code + 1, f.id) - decode_f64(code, f.id)
                                              : decode_f64(code, f.id) - decode_f64(code - 1, f.id);
    return mpfr_cmp_d(x, decode_f64(code, f.id) + step / 2);
  };
  std::uint32_t low = 0, high = f.max_finite();  // the first code whose upper midpoint is not below
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    side(middle) > 0 ? low = middle + 1 : high = middle;
  }
  return low + (low < f.max_finite() && side(low) == 0 && low % 2 == 1);
}

TEST(Decimal, RandomOnesAgainstMpfr) {
  mpfr_t x;
  mpfr_init2(x, 4000);
  std::mt19937 random(11);
  for (int i = 0; i < 20000; ++i) {
    const Format& f = formats()[i % formats().size()];
    std::string text(1, static_cast<char>('1' + random() % 9));
    text += '.';
    for (std::size_t digits = 1 + random() % (i % 50 == 0 ? 800 : 20); digits > 0; --digits)
      text += static_cast<char>('0' + random() % 10);
    const int range = f.bits <= 8 && f.kind != Kind::power_of_two ? 4 : f.bits == 16 ? 6 : 47;
    text += "e" + std::to_string(static_cast<int>(random() % (2 * range)) - range);
    mpfr_set_str(x, text.c_str(), 10, MPFR_RNDN);
    ASSERT_EQ(code_of(text, f.id), nearest_code(x, f)) << f.name << " " << text;
  }
  mpfr_clear(x);
}

TEST(Decimal, F64IsCutToOdd) {
  EXPECT_EQ(decimal_to_odd("0.5"), 0.5);
  EXPECT_EQ(decimal_to_odd("1e400"), std::numeric_limits<double>::max());
  EXPECT_EQ(decimal_to_odd("-1e-400"), -std::numeric_limits<double>::denorm_min());
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    const double below = std::ldexp(static_cast<double>(random() >> 11), -40);
    const double above = std::nextafter(below, 1e300);
    const double odd = random() % 2 ? below : above;
    Expansion text(odd == below ? below : above);
    const double found = decimal_to_odd(odd == below ? text.above() : text.below()).value();
    ASSERT_EQ(std::bit_cast<std::uint64_t>(found) & 1, 1u);
    ASSERT_TRUE(found == below || found == above);
  }
}

}  // namespace
}  // namespace karat::numerics
