// The value types: layout, comparisons, and numeric_limits against hand-derived constants.
// Limits are also checked against the list of all values, for every type.
#include "karat/numerics/formats/small_float.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace karat::numerics {
namespace {

static_assert(sizeof(E4m3) == 1 && sizeof(Bf16) == 2 && sizeof(Tf32) == 4);
static_assert(std::is_trivially_copyable_v<E4m3>);
static_assert(!std::is_convertible_v<float, E4m3> && !std::is_convertible_v<E4m3, float>);

TEST(SmallFloat, E4m3Limits) {
  using L = std::numeric_limits<E4m3>;
  EXPECT_EQ(static_cast<float>(L::max()), 448.0f);        // 0b0'1111'110 = 1.75 * 2^8
  EXPECT_EQ(static_cast<float>(L::lowest()), -448.0f);
  EXPECT_EQ(static_cast<float>(L::min()), 0x1p-6f);       // 0b0'0001'000
  EXPECT_EQ(static_cast<float>(L::denorm_min()), 0x1p-9f);
  EXPECT_EQ(static_cast<float>(L::epsilon()), 0.125f);
  EXPECT_EQ(static_cast<float>(L::round_error()), 0.5f);
  EXPECT_TRUE(L::quiet_NaN().is_nan());
  EXPECT_FALSE(L::has_infinity);
  EXPECT_EQ(L::digits, 4);
  EXPECT_EQ(L::digits10, 0);
  EXPECT_EQ(L::max_digits10, 3);
  EXPECT_EQ(L::min_exponent, -5);
  EXPECT_EQ(L::max_exponent, 9);
  EXPECT_EQ(L::min_exponent10, -1);
  EXPECT_EQ(L::max_exponent10, 2);
}

template <typename A, typename B>
void expect_same_limits() {
  using L = std::numeric_limits<A>;
  using M = std::numeric_limits<B>;
  EXPECT_EQ(L::digits, M::digits);
  EXPECT_EQ(L::digits10, M::digits10);
  EXPECT_EQ(L::max_digits10, M::max_digits10);
  EXPECT_EQ(L::min_exponent, M::min_exponent);
  EXPECT_EQ(L::max_exponent, M::max_exponent);
  EXPECT_EQ(L::min_exponent10, M::min_exponent10);
  EXPECT_EQ(L::max_exponent10, M::max_exponent10);
  EXPECT_EQ(static_cast<float>(L::epsilon()), M::epsilon());
  EXPECT_EQ(static_cast<float>(L::max()), M::max());
  EXPECT_EQ(static_cast<float>(L::min()), M::min());
  EXPECT_EQ(static_cast<float>(L::denorm_min()), M::denorm_min());
}

TEST(SmallFloat, TheSameRulesGiveTheLimitsOfFloat) {
  expect_same_limits<SmallFloat<FormatId::f32>, float>();
}

TEST(SmallFloat, HalfLimits) {
  using L = std::numeric_limits<F16>;
  EXPECT_EQ(L::digits10, 3);
  EXPECT_EQ(L::max_digits10, 5);
  EXPECT_EQ(L::min_exponent10, -4);
  EXPECT_EQ(L::max_exponent10, 4);
  EXPECT_EQ(static_cast<float>(L::epsilon()), 0x1p-10f);
  EXPECT_TRUE(L::infinity().is_infinity());
}

template <typename T>
class Limits : public ::testing::Test {};
using Types = ::testing::Types<E4m3, E5m2, E8m0, E2m1, F16, Bf16, Int8, Int4>;
TYPED_TEST_SUITE(Limits, Types);

TYPED_TEST(Limits, AgreeWithTheListOfValues) {
  using L = std::numeric_limits<TypeParam>;
  std::set<float> values;
  bool nan = false, infinity = false;
  for (std::uint32_t code = 0; code <= TypeParam::kFormat.mask(); ++code) {
    const float x = static_cast<float>(TypeParam::from_bits(code));
    nan |= std::isnan(x);
    infinity |= std::isinf(x);
    if (std::isfinite(x)) values.insert(x);
  }
  EXPECT_EQ(nan, L::has_quiet_NaN);
  EXPECT_EQ(infinity, L::has_infinity);
  EXPECT_EQ(*values.rbegin(), static_cast<float>(L::max()));
  EXPECT_EQ(*values.begin(), static_cast<float>(L::lowest()));
  EXPECT_EQ(*values.begin() < 0, L::is_signed);
  if (!L::is_integer) {
    EXPECT_EQ(*std::next(values.find(1.0f)) - 1.0f, static_cast<float>(L::epsilon()));
    EXPECT_EQ(*values.upper_bound(0.0f), static_cast<float>(L::denorm_min()));
  }
}

TEST(SmallFloat, ComparesByValue) {
  EXPECT_EQ(E4m3::from_bits(0x80), E4m3(0.0f));
  EXPECT_LT(E4m3(-1.0f), E4m3(0.5f));
  EXPECT_NE(E4m3::from_bits(0x7F), E4m3::from_bits(0x7F));
  EXPECT_EQ(E4m3(1.0f).next_up(), E4m3(1.125f));
  EXPECT_EQ(E4m3(1000.0f).bits(), 0x7E);
  EXPECT_TRUE(E4m3(1000.0f, policy("torch")).is_nan());
}

}  // namespace
}  // namespace karat::numerics
