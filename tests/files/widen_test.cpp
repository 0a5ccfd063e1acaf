// Widening to f32: all codes of the small formats, f64 only where nothing is lost.
#include "karat/files/widen.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::input_error;
using testing::HasSubstr;

/// Value of a code with these field widths, from the definition of such formats.
double by_definition(unsigned code, int exponent_bits, int fraction_bits, bool has_infinity) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const unsigned fraction = code & ((1u << fraction_bits) - 1);
  const unsigned exponent = (code >> fraction_bits) & ((1u << exponent_bits) - 1);
  const double sign = (code >> (fraction_bits + exponent_bits)) != 0 ? -1.0 : 1.0;
  const bool top = exponent == (1u << exponent_bits) - 1;
  if (has_infinity && top) return fraction == 0 ? sign * INFINITY : NAN;
  if (!has_infinity && top && fraction == (1u << fraction_bits) - 1) return NAN;
  const double significand = std::ldexp(fraction, -fraction_bits) + (exponent == 0 ? 0.0 : 1.0);
  return sign * std::ldexp(significand, std::max<int>(exponent, 1) - bias);
}

template <class Code>
void expect_all_codes(DType dtype, int exponent_bits, int fraction_bits, bool has_infinity) {
  std::vector<Code> codes(std::size_t{1} << (8 * sizeof(Code)));
  std::iota(codes.begin(), codes.end(), Code{0});
  const auto values = widen_to_f32(make_tensor(dtype, {codes.size()}, codes), "x");
  ASSERT_EQ(values.size(), codes.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const double expected = by_definition(codes[i], exponent_bits, fraction_bits, has_infinity);
    if (std::isnan(expected)) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(values[i]), 0x7FC00000u) << i;
    } else {
      EXPECT_EQ(static_cast<double>(values[i]), expected) << i;
      EXPECT_EQ(std::signbit(values[i]), std::signbit(expected)) << i;
    }
  }
}

TEST(Widen, EveryCodeHasTheValueItsFormatDefines) {
  expect_all_codes<std::uint8_t>(DType::f8_e4m3, 4, 3, false);
  expect_all_codes<std::uint8_t>(DType::f8_e5m2, 5, 2, true);
  expect_all_codes<std::uint16_t>(DType::f16, 5, 10, true);
  expect_all_codes<std::uint16_t>(DType::bf16, 8, 7, true);
  const auto scales =
      widen_to_f32(make_tensor(DType::f8_e8m0, {3}, std::vector<std::uint8_t>{0, 127, 254}), "x");
  EXPECT_THAT(scales, testing::ElementsAre(0x1p-127f, 1.0f, 0x1p127f));
}

TEST(Widen, F32KeepsItsBits) {
  const std::vector<std::uint32_t> bits{0x7FA00001u, 0xFFC12345u, 0x80000000u, 1u};
  Tensor tensor = make_tensor(DType::f32, {2, 2}, std::as_bytes(std::span(bits)));
  const auto values = widen_to_f32(tensor, "x");
  EXPECT_EQ(std::memcmp(values.data(), bits.data(), 16), 0);
}

TEST(Widen, F64OnlyWhereNothingIsLost) {
  const std::vector<double> good{0.5, -0.0, INFINITY, -INFINITY, NAN, 0x1p-149, 0x1.fffffep127};
  const auto values = widen_to_f32(make_tensor(DType::f64, {7}, good), "x");
  for (std::size_t i = 0; i < good.size(); ++i) {
    if (std::isnan(good[i])) {
      EXPECT_TRUE(std::isnan(values[i]));
    } else {
      EXPECT_EQ(static_cast<double>(values[i]), good[i]);
    }
  }
  EXPECT_TRUE(std::signbit(values[1]));
  for (const double bad : {0.1, 0x1p-150, 0x1p128, -1e300, 1.0 + 0x1p-30}) {
    const Tensor tensor = make_tensor(DType::f64, {2, 2}, std::vector{1.0, 2.0, 3.0, bad});
    EXPECT_THAT(input_error([&] { widen_to_f32(tensor, "f.npy: q"); }),
                testing::AllOf(testing::StartsWith("f.npy: q: f64 value "),
                               HasSubstr(" at [1, 1] is not an f32")));
  }
}

TEST(Widen, RefusesIntegersAndBooleans) {
  for (const DType dtype : {DType::u8, DType::i32, DType::u64, DType::boolean}) {
    EXPECT_THAT(input_error([&] { widen_to_f32(make_tensor(dtype, {2}), "x"); }),
                HasSubstr("which are not float values"));
  }
}

}  // namespace
}  // namespace karat::files
