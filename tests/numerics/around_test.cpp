// What surrounds the instructions: f32 operations on numbers and intervals, the exact accumulator
// and the interpolating exp2 unit.
#include <gtest/gtest.h>
#include <mpfr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "karat/numerics/arithmetic/fp32.hpp"
#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/tensor_core/exact_accumulator.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

TEST(Fp32, SubnormalsBecomeZerosOfTheirSign) {
  const Fp32 fp, keeping{Subnormals::keep};
  EXPECT_EQ(bits(fp.round(-0x1p-127f)), 0x80000000u);
  EXPECT_EQ(fp.round(0x1p-126f), 0x1p-126f);
  EXPECT_EQ(fp.add(0x1.8p-126f, -0x1p-126f), 0.0f);  // 2^-127 is subnormal
  EXPECT_EQ(keeping.add(0x1.8p-126f, -0x1p-126f), 0x1p-127f);
  EXPECT_EQ(bits(fp.multiply(-0x1p-70f, 0x1p-70f)), 0x80000000u);
  EXPECT_EQ(fp.fused(1 + 0x1p-23f, 1 - 0x1p-23f, -1.0f), -0x1p-46f);
  EXPECT_EQ(bits(fp.fused(-0x1p-70f, 0x1p-70f, 0.0f)), 0x80000000u);
}

TEST(Fp32, OperandsInF64AreRoundedOnceWithTheResult) {
  const Fp32 fp;
  testing::Random random(10);
  for (int n = 0; n < 100000; ++n) {
    const auto a = std::bit_cast<float>(random()), b = std::bit_cast<float>(random());
    if (std::isnan(a) || std::isnan(b)) continue;
    ASSERT_EQ(bits(fp.multiply(a, b)), bits(fp.multiply(double{a}, double{b}))) << a << ' ' << b;
    ASSERT_EQ(bits(fp.add(a, b)), bits(fp.add(double{a}, double{b}))) << a << ' ' << b;
  }
  EXPECT_EQ(fp.add(1.0f, 0x1.000002p-24), 1 + 0x1p-23f);  // f32(0x1.000002p-24) would be a tie
  EXPECT_EQ(fp.multiply(0x1.000001p0, 1.0f), 1.0f);
}

TEST(Fp32, ReciprocalsAreCorrectlyRounded) {
  const Fp32 fp;
  testing::Random random(11);
  mpfr_t x, y;
  mpfr_init2(x, 24);
  mpfr_init2(y, 24);
  mpfr_set_emin(-200);
  mpfr_set_emax(200);
  for (int n = 0; n < 100000; ++n) {
    const float value =
        std::bit_cast<float>((random() & 0x807FFFFF) | ((1 + random.below(252)) << 23));
    mpfr_set_flt(x, value, MPFR_RNDN);
    mpfr_ui_div(y, 1, x, MPFR_RNDN);
    ASSERT_EQ(fp.divide(1.0f, value), mpfr_get_flt(y, MPFR_RNDN));
  }
  mpfr_clears(x, y, static_cast<mpfr_ptr>(nullptr));
  EXPECT_EQ(fp.divide(1.0f, 0.0f), kInf);
  EXPECT_EQ(fp.divide(1.0f, 0x1p127f), 0.0f);
  EXPECT_EQ(Fp32{Subnormals::keep}.divide(1.0f, 0x1p127f), 0x1p-127f);
  EXPECT_EQ(bits(fp.divide(1.0f, -kInf)), 0x80000000u);
}

/// Any members of the operands give a member of the result.
TEST(Interval, EndsEncloseEveryMember) {
  const Fp32 fp;
  testing::Random random(12);
  const auto number = [&] { return std::ldexp(static_cast<float>(random()) - 0x1p31f, -31); };
  const auto between = [&](Interval x) {
    return std::clamp(x.low + (x.high - x.low) * std::abs(number()), x.low, x.high);
  };
  for (int n = 0; n < 20000; ++n) {
    const float a = number(), b = number(), c = std::abs(number()), d = std::abs(number());
    const Interval x{std::min(a, b), std::max(a, b)}, factor{std::min(c, d), std::max(c, d)};
    const Interval term{a - c, a + c};
    const float x0 = between(x), f0 = between(factor), t0 = between(term);
    const auto holds = [](Interval range, float value) {
      return range.low <= value && value <= range.high;
    };
    ASSERT_TRUE(holds(fp.add(x, term), fp.add(x0, t0)));
    ASSERT_TRUE(holds(fp.multiply(x, factor), fp.multiply(x0, f0)));
    ASSERT_TRUE(holds(fp.fused(x, factor, term), fp.fused(x0, f0, t0)));
    ASSERT_EQ(fp.add(Interval(a), Interval(b)).low, fp.add(a, b));
  }
}

TEST(ExactAccumulator, KeepsWhatFloatingPointLoses) {
  ExactAccumulator sum;
  EXPECT_TRUE(sum.is_zero());
  sum.add_product(0x1p127f, 0x1p127f);
  sum.add_product(0x1p-149f, 0x1p-149f);
  sum.add_product(-0x1p127f, 0x1p127f);
  EXPECT_EQ(sum.to_f64(), 0x1p-298);
  sum.add_product(0x1p-149f, -0x1p-149f);
  EXPECT_TRUE(sum.is_zero());
  sum.add(-1.5f);
  EXPECT_TRUE(sum.is_negative());
  EXPECT_EQ(sum.to_f32(), -1.5f);
}

TEST(ExactAccumulator, RoundsOnce) {
  ExactAccumulator sum;
  sum.add(1.0f);
  sum.add(0x1p-24f);  // a tie
  EXPECT_EQ(sum.to_f32(), 1.0f);
  sum.add_product(0x1p-149f, 0x1p-149f);
  EXPECT_EQ(sum.to_f32(), 1 + 0x1p-23f);
  EXPECT_EQ(sum.to_f32(Rounding::toward_zero), 1.0f);
  ExactAccumulator huge;
  huge.add_product(-0x1p127f, 2.0f);
  EXPECT_EQ(huge.to_f32(), -kInf);
  EXPECT_EQ(huge.to_f32(Rounding::toward_zero), -std::numeric_limits<float>::max());
  EXPECT_EQ(huge.to_f64(), -0x1p128);
}

TEST(ExactAccumulator, EqualsMpfrOnWildDotProducts) {
  testing::Random random(12);
  mpfr_set_emin(mpfr_get_emin_min());
  mpfr_set_emax(mpfr_get_emax_max());
  for (int n = 0; n < 300; ++n) {
    std::vector<float> a(20), b(20);
    mpfr_t total, product;
    mpfr_init2(total, 900);
    mpfr_init2(product, 60);
    mpfr_set_zero(total, 1);
    for (std::size_t i = 0; i < a.size(); ++i) {
      a[i] = std::bit_cast<float>(random() & 0xFF7FFFFF);
      b[i] = std::bit_cast<float>(random() & 0xFF7FFFFF);
      mpfr_set_flt(product, a[i], MPFR_RNDN);
      mpfr_mul_d(product, product, b[i], MPFR_RNDN);
      ASSERT_EQ(mpfr_add(total, total, product, MPFR_RNDN), 0);  // exact
    }
    ExactAccumulator sum;
    sum.add_dot(a, b);
    ASSERT_EQ(sum.to_f64(), mpfr_get_d(total, MPFR_RNDN));
    mpfr_clears(total, product, static_cast<mpfr_ptr>(nullptr));
  }
}

}  // namespace
}  // namespace karat::numerics
