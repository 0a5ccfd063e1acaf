// Each error metric against a value computed by hand.
// Reference (1, 2, 2, 0), candidate (1, 2.5, 1, 1): e = (0, 0.5, -1, 1).
#include "karat/numerics/metrics/metrics.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "karat/numerics/base/error.hpp"

namespace karat::numerics {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Metrics, ByHand) {
  const std::vector<float> r = {1, 2, 2, 0}, c = {1, 2.5, 1, 1};
  const ErrorMetrics m = compare(r, c);
  EXPECT_EQ(m.count, 4u);
  EXPECT_EQ(m.compared, 4u);
  EXPECT_EQ(m.max_abs, 1.0);
  EXPECT_EQ(m.worst, 2u);
  EXPECT_EQ(m.mean_abs, 2.5 / 4);
  EXPECT_EQ(m.bias, 0.5 / 4);
  EXPECT_DOUBLE_EQ(m.rmse, 0.75);                          // sqrt(2.25 / 4)
  EXPECT_DOUBLE_EQ(m.relative_l2, 0.5);                    // sqrt(2.25 / 9)
  EXPECT_DOUBLE_EQ(m.relative_l1, 0.5);                    // 2.5 / 5
  EXPECT_DOUBLE_EQ(m.cosine, 8 / (3 * std::sqrt(9.25)));   // (1 + 5 + 2) / ...
  EXPECT_DOUBLE_EQ(m.sqnr_db, 10 * std::log10(4.0));
  EXPECT_EQ(m.flushed, 0u);
}

TEST(Metrics, PerfectAndEmpty) {
  const std::vector<float> r = {1, -2};
  const ErrorMetrics m = compare(r, r);
  EXPECT_EQ(m.max_abs, 0);
  EXPECT_EQ(m.sqnr_db, std::numeric_limits<double>::infinity());
  EXPECT_EQ(m.ulp_histogram[0], 2u);
  EXPECT_DOUBLE_EQ(m.cosine, 1);
  const ErrorMetrics nothing = compare({}, {});
  EXPECT_EQ(nothing.count, 0u);
  EXPECT_EQ(nothing.rmse, 0);
  EXPECT_EQ(nothing.cosine, 1);
  const std::vector<float> zero = {0}, one = {1};
  EXPECT_EQ(compare(zero, one).relative_l2, std::numeric_limits<double>::infinity());
  EXPECT_EQ(compare(zero, one).cosine, 0);
}

TEST(Metrics, UlpHistogram) {
  const auto up = [](float x, std::uint32_t steps) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) + steps);
  };
  const std::vector<float> r(6, 1.0f);
  const std::vector<float> c = {1.0f, up(1, 1), up(1, 2), up(1, 3), up(1, 4), up(1, 1000)};
  const ErrorMetrics m = compare(r, c);
  EXPECT_EQ(m.ulp_histogram[0], 1u);
  EXPECT_EQ(m.ulp_histogram[1], 1u);
  EXPECT_EQ(m.ulp_histogram[2], 2u);
  EXPECT_EQ(m.ulp_histogram[3], 1u);
  EXPECT_EQ(m.ulp_histogram[10], 1u);  // 512..1023
  EXPECT_EQ(m.max_ulp, 1000);
  // In E4M3 1 and 1.125 are neighbours.
  EXPECT_EQ(compare(std::vector<float>{1.0f}, std::vector<float>{1.125f}, FormatId::e4m3).max_ulp, 1);
}

TEST(Metrics, Specials) {
  const std::vector<float> r = {kNan, 1, kInf, kInf, 500, 0x1p-20f, kNan};
  const std::vector<float> c = {1, kNan, kInf, -kInf, 448, 0, kNan};
  const ErrorMetrics m = compare(r, c, FormatId::e4m3);
  EXPECT_EQ(m.count, 7u);
  EXPECT_EQ(m.compared, 2u);
  EXPECT_EQ(m.reference_nan, 2u);
  EXPECT_EQ(m.candidate_nan, 2u);
  EXPECT_EQ(m.reference_infinite, 2u);
  EXPECT_EQ(m.candidate_infinite, 2u);
  EXPECT_EQ(m.unequal_specials, 3u);
  EXPECT_EQ(m.saturated, 1u);
  EXPECT_EQ(m.flushed, 1u);
}

TEST(Metrics, SumsAreCompensated) {
  // 1e16 followed by a million ones: plain f64 addition would lose every other one.
  std::vector<float> r(1'000'001, 0.0f), c(r.size(), 1.0f);
  c[0] = 1e8f;
  const ErrorMetrics m = compare(r, c);
  EXPECT_EQ(m.rmse, std::sqrt((1e16 + 1e6) / 1000001.0));
}

TEST(Metrics, SabotageIsSeen) {
  std::vector<float> r(1000), c;
  for (std::size_t i = 0; i < r.size(); ++i) r[i] = std::sin(static_cast<float>(i));
  c = r;
  for (float& x : c) x *= 1.05f;
  EXPECT_NEAR(compare(r, c).relative_l2, 0.05, 1e-6);
  EXPECT_NEAR(compare(r, c).cosine, 1.0, 1e-6);  // which is why the cosine alone is no gate
  for (float& x : c) x = -x;
  EXPECT_LT(compare(r, c).cosine, -0.999);
  EXPECT_EQ(compare(r, std::vector<float>(r.size())).relative_l2, 1.0);
}

TEST(Metrics, SizesMustAgree) {
  EXPECT_THROW(compare(std::vector<float>(2), std::vector<float>(3)), Error);
}

}  // namespace
}  // namespace karat::numerics
