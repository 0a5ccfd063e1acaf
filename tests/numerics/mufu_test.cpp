// The special-function unit: accuracy counts that programs printed on GPUs, words a GPU printed,
// special values, and equal bits of scalar and array forms.
#include "karat/numerics/functions/mufu/mufu.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::uint32_t kNan = 0x7FFFFFFF;

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
float from_bits(std::uint32_t x) { return std::bit_cast<float>(x); }

/// How many of the 2^23 arguments of one octave give the correctly rounded result, one off by one
/// unit in the last place, by two, by more.
using Counts = std::array<int, 4>;

template <typename Function, typename Exact>
Counts count(float begin, float step, Function function, Exact exact) {
  Counts counts{};
  for (int i = 0; i < (1 << 23); ++i) {
    const float x = begin + step * static_cast<float>(i);
    // long double holds 64 bits of significand: the exact value's rounding to f32 is not in doubt
    // unless it lies within 2^-40 of a tie, which none of these does.
    const auto rounded = static_cast<float>(exact(static_cast<long double>(x)));
    const auto off = std::abs(static_cast<std::int64_t>(bits(function(x))) -
                              static_cast<std::int64_t>(bits(rounded)));
    ++counts[static_cast<std::size_t>(std::min<std::int64_t>(off, 3))];
  }
  return counts;
}

// Printed on an A100, L40, L40S and H100 (docs/evidence.md names the source).
TEST(Mufu, CountsOfReciprocalsAreThoseOfGpus) {
  const auto exact = [](long double x) { return 1 / x; };
  EXPECT_EQ(count(
                1, 0x1p-23f, [](float x) { return rcp_approx_ftz(x); }, exact),
            (Counts{7280086, 1108522, 0, 0}));
}

TEST(Mufu, CountsOfReciprocalRootsAreThoseOfGpus) {
  const auto root = [](float x) { return rsqrt_approx_ftz(x); };
  const auto exact = [](long double x) { return 1 / std::sqrt(x); };
  EXPECT_EQ(count(1, 0x1p-23f, root, exact), (Counts{6505163, 1883437, 8, 0}));
  EXPECT_EQ(count(2, 0x1p-22f, root, exact), (Counts{6637923, 1750685, 0, 0}));
}

// A prediction that a GPU can refute: tools/hopper/capture.sh asks one.
TEST(Mufu, CountsOfPowersAsPredicted) {
  const auto power = [](float x) { return ex2_approx_ftz(x); };
  const auto exact = [](long double x) { return std::exp2(x); };
  EXPECT_EQ(count(0, 0x1p-23f, power, exact), (Counts{5125875, 3262733, 0, 0}));
}

// Printed by a GB200; the arguments are known to six decimals, so some f32 that prints so must give
// the word.
TEST(Mufu, WordsOfAGpu) {
  const struct {
    float x;
    const char* printed;
    std::uint32_t word;
  } kWords[] = {{-10.221991f, "-10.221991", 0x3A5B7D5C},
                {-12.691620f, "-12.691620", 0x391E8128},
                {-12.472450f, "-12.472450", 0x39388261},
                {-5.655628f, "-5.655628", 0x3CA2822F},
                {-18.084177f, "-18.084177", 0x36717D95}};
  for (const auto& [x, printed, word] : kWords) {
    bool given = false;
    for (int step = -8; step <= 8; ++step) {
      const float near = from_bits(bits(x) + static_cast<std::uint32_t>(step));
      char text[32];
      std::snprintf(text, sizeof text, "%.6f", static_cast<double>(near));
      given = given || (std::string(text) == printed && bits(ex2_approx_ftz(near)) == word);
    }
    EXPECT_TRUE(given) << printed;
  }
  EXPECT_EQ(bits(ex2_approx_ftz(from_bits(0xC1238D46))), 0x3A5B7D5Cu);
}

TEST(Mufu, SpecialValues) {
  const float subnormal = from_bits(0x007FFFFF), nan = std::nanf("");
  for (const Mufu function : {Mufu::ex2, Mufu::rcp, Mufu::rsqrt, Mufu::lg2})
    EXPECT_EQ(bits(mufu(function, nan)), kNan) << mufu_name(function);

  EXPECT_EQ(ex2_approx_ftz(0.0f), 1.0f);
  EXPECT_EQ(ex2_approx_ftz(-0.0f), 1.0f);
  EXPECT_EQ(ex2_approx_ftz(-subnormal), 1.0f);
  EXPECT_EQ(ex2_approx_ftz(kInf), kInf);
  EXPECT_EQ(bits(ex2_approx_ftz(-kInf)), 0u);
  EXPECT_EQ(ex2_approx_ftz(128.0f), kInf);
  EXPECT_EQ(ex2_approx_ftz(127.0f), 0x1p127f);
  EXPECT_EQ(ex2_approx_ftz(-126.0f), 0x1p-126f);
  EXPECT_EQ(bits(ex2_approx_ftz(std::nextafterf(-126.0f, -200.0f))), 0u);
  EXPECT_EQ(bits(ex2_approx_ftz(-std::numeric_limits<float>::max())), 0u);

  EXPECT_EQ(rcp_approx_ftz(0.0f), kInf);
  EXPECT_EQ(rcp_approx_ftz(-subnormal), -kInf);
  EXPECT_EQ(bits(rcp_approx_ftz(kInf)), 0u);
  EXPECT_EQ(bits(rcp_approx_ftz(-kInf)), 0x80000000u);
  EXPECT_EQ(rcp_approx_ftz(0x1p126f), 0x1p-126f);
  EXPECT_EQ(bits(rcp_approx_ftz(-0x1.000002p126f)), 0x80000000u);
  EXPECT_EQ(rcp_approx_ftz(0x1p-126f), 0x1p126f);

  EXPECT_EQ(rsqrt_approx_ftz(0.0f), kInf);
  EXPECT_EQ(rsqrt_approx_ftz(-0.0f), -kInf);
  EXPECT_EQ(bits(rsqrt_approx_ftz(kInf)), 0u);
  EXPECT_EQ(bits(rsqrt_approx_ftz(-1.0f)), kNan);
  for (int n = -63; n <= 63; ++n)
    EXPECT_EQ(rsqrt_approx_ftz(std::ldexp(1.0f, 2 * n)), std::ldexp(1.0f, -n)) << n;

  EXPECT_EQ(bits(lg2_approx_ftz(1.0f)), 0u);
  EXPECT_EQ(lg2_approx_ftz(subnormal), -kInf);
  EXPECT_EQ(lg2_approx_ftz(kInf), kInf);
  EXPECT_EQ(bits(lg2_approx_ftz(-2.0f)), kNan);
}

/// Largest error of ex2 over every `stride`th argument of an octave, in units of the result's last
/// place.
double worst_power(float begin, FixedPointCut cut, std::uint32_t stride) {
  double worst = 0;
  for (std::uint32_t i = 0; i < (1u << 23); i += stride) {
    const float x = from_bits(bits(begin) + i);
    const double exact = std::exp2(static_cast<double>(x));
    const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
    const double power = static_cast<double>(ex2_approx_ftz(x, cut));
    worst = std::max(worst, std::abs(power - exact) / unit);
  }
  return worst;
}

// The promise is 2 ulp (CUDA's table of intrinsic functions). Cut toward zero the model passes it
// by a little, cut toward -Inf by much: a point for the default.
TEST(Mufu, PowersKeepTheirErrorBound) {
  EXPECT_LT(worst_power(0.5f, FixedPointCut::toward_zero, 7), 1.40);
  const double zero = worst_power(-0x1p-4f, FixedPointCut::toward_zero, 1);
  EXPECT_LT(zero, 2.06);
  EXPECT_GT(zero, 2.0);
  const double floor = worst_power(-0x1p-4f, FixedPointCut::toward_minus_infinity, 1);
  EXPECT_LT(floor, 3.29);
  EXPECT_GT(floor, 3.2);
}

// Bounds of a range of l take its ends' reciprocals.
TEST(Mufu, ReciprocalsNeverRise) {
  float before = kInf;
  for (std::uint32_t i = 0; i <= (1u << 23); ++i) {
    const float r = rcp_approx_ftz(from_bits(0x3F800000u + i));
    ASSERT_LE(r, before) << i;
    before = r;
  }
}

TEST(Mufu, LogarithmsKeepTheirErrorBound) {
  for (std::uint32_t i = 0; i < (1u << 24); i += 61) {
    const float x = from_bits(0x3F000000u + i);  // [1/2, 2)
    const double error = static_cast<double>(lg2_approx_ftz(x)) - std::log2(static_cast<double>(x));
    ASSERT_LT(std::abs(error), 0x1p-22) << std::hexfloat << x;
  }
}

TEST(Mufu, ReadingsOfTheCutDifferWhereBitsAreLost) {
  const auto differ = [](float x) {
    return bits(ex2_approx_ftz(x, FixedPointCut::toward_zero)) !=
           bits(ex2_approx_ftz(x, FixedPointCut::toward_minus_infinity));
  };
  EXPECT_EQ(ex2_approx_ftz(-0x1p-25f, FixedPointCut::toward_zero), 1.0f);
  EXPECT_TRUE(differ(-0x1p-25f));
  for (std::uint32_t i = 0; i < 100000; ++i) {
    ASSERT_FALSE(differ(from_bits(0x3C000000u + 677 * i))) << i;  // positive
    ASSERT_FALSE(differ(from_bits(0xBF800000u + 517 * i))) << i;  // -1 and below
  }
}

TEST(Mufu, StepsAddUp) {
  const MufuSteps steps = mufu_steps(Mufu::ex2, 0.5f);
  EXPECT_TRUE(steps.tabulated);
  EXPECT_EQ(steps.segment, 32u);
  EXPECT_EQ(steps.offset, 0u);
  EXPECT_EQ(steps.sum, steps.c0 * 8192 + 0x77E2);
  EXPECT_EQ(std::ldexp(static_cast<double>(steps.significand), steps.exponent), steps.result);
  EXPECT_FALSE(mufu_steps(Mufu::rcp, 0).tabulated);
}

TEST(Mufu, NamesAreThoseOfPtx) {
  EXPECT_EQ(mufu_function("rcp.approx.ftz.f32"), Mufu::rcp);
  EXPECT_THROW(mufu_function("ex2.approx.f32"), Error);
}

/// Every `stride`th of all 2^32 arguments, by the array form and value by value. Words in order let
/// whole vectors lie where no argument is special; multiplied by an odd number they mix.
void expect_arrays_equal_scalar(Mufu function, FixedPointCut cut, std::uint64_t stride,
                                std::uint32_t factor = 1) {
  std::vector<float> x(4099), y(x.size());
  for (std::uint64_t begin = 0; begin < (1ull << 32); begin += stride * x.size()) {
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = from_bits(static_cast<std::uint32_t>(begin + stride * i) * factor);
    mufu(function, x, y, cut);
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(bits(y[i]), bits(mufu(function, x[i], cut)))
          << mufu_name(function) << " of " << std::hex << bits(x[i]);
  }
}

TEST(Mufu, ArraysEqualScalars) {
  const bool all = std::getenv("KARAT_LONG") != nullptr;
  for (const FixedPointCut cut : {FixedPointCut::toward_zero, FixedPointCut::toward_minus_infinity})
    expect_arrays_equal_scalar(Mufu::ex2, cut, all ? 1 : 997);
  expect_arrays_equal_scalar(Mufu::rcp, kDefaultCut, all ? 1 : 997);
  expect_arrays_equal_scalar(Mufu::rsqrt, kDefaultCut, 9973);
}

TEST(Mufu, ArraysEqualScalarsOnEveryTarget) {
  constexpr std::uint32_t kOdd = 2654435761u;
  testing::for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    for (const std::uint32_t factor : {1u, kOdd}) {
      for (const FixedPointCut cut :
           {FixedPointCut::toward_zero, FixedPointCut::toward_minus_infinity})
        expect_arrays_equal_scalar(Mufu::ex2, cut, 9973, factor);
      expect_arrays_equal_scalar(Mufu::rcp, kDefaultCut, 9973, factor);
    }
  });
}

}  // namespace
}  // namespace karat::numerics
