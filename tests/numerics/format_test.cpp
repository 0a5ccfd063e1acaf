// The format table: known codes, and the number line of every format with at most 16 bits.
#include "karat/numerics/formats/format.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::numerics {
namespace {

TEST(Format, LargestAndSmallestValues) {
  struct Row {
    FormatId id;
    float largest, smallest_normal, smallest;
  };
  const Row rows[] = {
      {FormatId::e4m3, 448, 0x1p-6f, 0x1p-9f},
      {FormatId::e5m2, 57344, 0x1p-14f, 0x1p-16f},
      {FormatId::e2m1, 6, 1, 0.5},
      {FormatId::f16, 65504, 0x1p-14f, 0x1p-24f},
      {FormatId::bf16, 0x1.fep127f, 0x1p-126f, 0x1p-133f},
      {FormatId::tf32, 0x1.ffcp127f, 0x1p-126f, 0x1p-136f},
      {FormatId::f32, std::numeric_limits<float>::max(), 0x1p-126f, 0x1p-149f},
  };
  for (const Row& row : rows) {
    const Format& f = format(row.id);
    EXPECT_EQ(decode(f.max_finite(), row.id), row.largest) << f.name;
    EXPECT_EQ(decode(1u << f.fraction_bits, row.id), row.smallest_normal) << f.name;
    EXPECT_EQ(decode(1, row.id), row.smallest) << f.name;
  }
  EXPECT_EQ(decode(0, FormatId::e8m0), 0x1p-127f);
  EXPECT_EQ(decode(0xFE, FormatId::e8m0), 0x1p127f);
  EXPECT_TRUE(std::isnan(decode(0xFF, FormatId::e8m0)));
  EXPECT_EQ(decode(0x80, FormatId::int8), -128);
  EXPECT_EQ(decode(0x8, FormatId::int4), -8);
}

TEST(Format, OnlyTheSpecialCodesAreSpecial) {
  EXPECT_FALSE(format(FormatId::e4m3).is_nan(0x7E));
  EXPECT_TRUE(format(FormatId::e4m3).is_nan(0x7F));
  EXPECT_TRUE(format(FormatId::e4m3).is_nan(0xFF));
  EXPECT_TRUE(format(FormatId::e5m2).is_infinity(0x7C));
  EXPECT_TRUE(format(FormatId::e5m2).is_infinity(0xFC));
  EXPECT_TRUE(format(FormatId::e5m2).is_nan(0x7D));
  EXPECT_FALSE(format(FormatId::e2m1).is_nan(0x7));
}

TEST(Format, NumberLineIsInOrder) {
  for (const Format& f : formats()) {
    if (f.bits > 16) continue;
    std::uint32_t code = f.kind == Kind::power_of_two ? 0
                         : f.kind == Kind::integer    ? f.sign_mask()
                         : f.specials == Specials::infinity_and_nan
                             ? f.infinity() | f.sign_mask()
                             : f.max_finite() | f.sign_mask();
    EXPECT_EQ(next_down(code, f.id), code) << f.name;
    std::uint32_t steps = 0;
    for (std::uint32_t up; (up = next_up(code, f.id)) != code; code = up, ++steps) {
      ASSERT_LT(decode(code, f.id), decode(up, f.id)) << f.name << " " << code;
      ASSERT_EQ(ulp_distance(code, up, f.id), 1);
      ASSERT_EQ(decode(next_down(up, f.id), f.id), decode(code, f.id));
      ASSERT_EQ(code_at(ordinal(up, f.id), f.id), up);
    }
    std::uint32_t numbers = 0;
    for (std::uint32_t c = 0; c <= f.mask(); ++c) numbers += !f.is_nan(c);
    const std::uint32_t zeros = f.kind == Kind::floating ? 2 : 1;
    EXPECT_EQ(steps + 1, numbers - (zeros - 1)) << f.name;
  }
}

TEST(Format, DistanceToNan) {
  EXPECT_EQ(ulp_distance(0x7F, 0xFF, FormatId::e4m3), 0);
  EXPECT_EQ(ulp_distance(0x7F, 0x7E, FormatId::e4m3), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(ulp_distance(0x80, 0x00, FormatId::e4m3), 0);
  EXPECT_EQ(ulp_distance(0x81, 0x01, FormatId::e4m3), 2);
}

TEST(Format, UnknownNameSuggestsTheNearest) {
  EXPECT_EQ(format("bf16").id, FormatId::bf16);
  try {
    format("e4m4");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("did you mean 'e4m3'"), std::string::npos);
  }
}

}  // namespace
}  // namespace karat::numerics
