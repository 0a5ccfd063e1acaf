// sin, cos, ln and exp against MPFR within the bounds of the header; normal numbers against their
// formula.
#include "karat/numerics/functions/elementary.hpp"

#include <gtest/gtest.h>
#include <mpfr.h>

#include <bit>
#include <cmath>
#include <vector>

#include "karat/numerics/random/normal.hpp"
#include "karat/numerics/random/philox.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

/// MPFR with 200 bits.
class Big {
 public:
  explicit Big(double x) {
    mpfr_init2(value_, 200);
    mpfr_set_d(value_, x, MPFR_RNDN);
  }
  Big(const Big&) = delete;
  Big& operator=(const Big&) = delete;
  ~Big() { mpfr_clear(value_); }
  mpfr_ptr get() { return value_; }
  /// Distance of a double from this value.
  double distance(double x) {
    mpfr_sub_d(value_, value_, x, MPFR_RNDN);
    return std::fabs(mpfr_get_d(value_, MPFR_RNDU));
  }

 private:
  mpfr_t value_;
};

void expect_sin_cos(double x) {
  Big sine(x), cosine(0), turn(0);
  mpfr_const_pi(turn.get(), MPFR_RNDN);
  mpfr_mul_2ui(turn.get(), turn.get(), 1, MPFR_RNDN);
  mpfr_mul(turn.get(), turn.get(), sine.get(), MPFR_RNDN);
  mpfr_sin_cos(sine.get(), cosine.get(), turn.get(), MPFR_RNDN);
  const auto [s, c] = sin_cos_turns(x);
  EXPECT_LT(sine.distance(s), 0x1p-51) << x;
  EXPECT_LT(cosine.distance(c), 0x1p-51) << x;
}

TEST(Elementary, SinCosWithinTheStatedError) {
  for (std::uint64_t i = 0; i < 40000; ++i) {
    const double u = random_uniform(1, 0, i);
    expect_sin_cos(u);
    expect_sin_cos((u - 0.5) * 200);
    expect_sin_cos(std::ldexp(u, static_cast<int>(i % 60) - 59));
  }
  for (int n = -64; n <= 64; ++n)  // where the reduction changes quarters
    for (const double end : {n / 8.0, std::nextafter(n / 8.0, 9e9), std::nextafter(n / 8.0, -9e9)})
      expect_sin_cos(end);
}

TEST(Elementary, QuartersAreExact) {
  for (int n = -40; n <= 40; ++n) {
    const auto [s, c] = sin_cos_turns(n / 4.0);
    const int quarter = (n + 40) % 4;
    EXPECT_EQ(s, quarter == 1 ? 1 : quarter == 3 ? -1 : 0);
    EXPECT_EQ(c, quarter == 0 ? 1 : quarter == 2 ? -1 : 0);
  }
}

void expect_ln(double x) {
  Big log(x);
  mpfr_log(log.get(), log.get(), MPFR_RNDN);
  const double magnitude = std::fabs(mpfr_get_d(log.get(), MPFR_RNDN));
  EXPECT_LE(log.distance(ln_f64(x)), magnitude * 0x1p-50) << x;
}

TEST(Elementary, LnWithinTheStatedError) {
  for (std::uint64_t i = 0; i < 40000; ++i) {
    const double u = 1 + random_uniform(2, 0, i);
    expect_ln(u);
    expect_ln(u / 2);
    expect_ln(std::ldexp(u, static_cast<int>(i % 2046) - 1022));
    expect_ln(1 + std::ldexp(u - 1.5, -static_cast<int>(i % 52)));
  }
  EXPECT_EQ(ln_f64(1), 0);
  expect_ln(0x1p-1022);
  expect_ln(0x1.fffffffffffffp1023);
}

TEST(Elementary, ExpWithinTheStatedError) {
  for (std::uint64_t i = 0; i < 40000; ++i) {
    const double u = random_uniform(3, 0, i) - 0.5;
    for (const double x : {u, u * 1400, std::ldexp(u, -static_cast<int>(i % 60))}) {
      Big exact(x);
      mpfr_exp(exact.get(), exact.get(), MPFR_RNDN);
      const double y = exp_f64(x);
      EXPECT_LE(exact.distance(y), y * 0x1p-50) << x;
    }
  }
  EXPECT_EQ(exp_f64(0), 1);
}

TEST(RandomNormal, FollowsItsFormula) {
  std::vector<float> out(4000);
  fill_normal(7, 3, 100, out);
  for (std::size_t i = 0; i < out.size(); i += 2) {
    const auto words = philox_block(7, 3, 100 + i / 4);
    const double r = std::sqrt(-2 * std::log((words[i % 4] + 0.5) / 4294967296.0));
    const double angle = 2 * M_PI * (words[i % 4 + 1] / 4294967296.0);
    EXPECT_NEAR(out[i], r * std::cos(angle), 1e-6);
    EXPECT_NEAR(out[i + 1], r * std::sin(angle), 1e-6);
  }
}

TEST(RandomNormal, IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const std::size_t size : {1, 2, 3, 5, 14, 31, 128, 255, 256, 300, 40000}) {
      std::vector<float> out(size);
      fill_normal(9, size, 77, out);
      for (std::size_t i = 0; i < size; ++i) {
        const auto words = philox_block(9, size, 77 + i / 4);
        const float expected = normal_pair(words[i % 4 / 2 * 2], words[i % 4 / 2 * 2 + 1])[i % 2];
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), std::bit_cast<std::uint32_t>(expected))
            << target << ' ' << size << ' ' << i;
      }
    }
  });
}

TEST(RandomNormal, PartsEqualTheWhole) {
  std::vector<float> whole(41), part(17);
  fill_normal(1, 2, 0, whole);
  fill_normal(1, 2, 6, part);
  for (int i = 0; i < 17; ++i) EXPECT_EQ(part[i], whole[24 + i]);
}

TEST(RandomNormal, HasTheMomentsAndTailsOfANormal) {
  std::vector<float> out(1 << 20);
  fill_normal(11, 0, 0, out);
  double mean = 0, square = 0, fourth = 0;
  int beyond_three = 0;
  for (const double x : out) {
    mean += x, square += x * x, fourth += x * x * x * x;
    beyond_three += std::fabs(x) > 3;
  }
  const auto n = static_cast<double>(out.size());
  EXPECT_NEAR(mean / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(square / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(beyond_three, n * 0.0026998, 5 * std::sqrt(n * 0.0027));
}

}  // namespace
}  // namespace karat::numerics
