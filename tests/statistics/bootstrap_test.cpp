// Intervals shrink with more prompts and cover the truth as often as they say.
#include "karat/statistics/bootstrap.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/normal.hpp"
#include "karat/statistics/student.hpp"

namespace karat::statistics {
namespace {

/// `prompts` x `cells` values around 3: a share common to a prompt, a share of each cell.
std::vector<Observation> drawn(int prompts, int cells, std::uint64_t seed) {
  std::vector<float> normal((prompts * (cells + 1) + 3) / 4 * 4);
  numerics::fill_normal(seed, 1, 0, normal);
  std::vector<Observation> all;
  std::size_t next = 0;
  for (int p = 0; p < prompts; ++p) {
    const double common = 0.3 * normal[next++];
    for (int c = 0; c < cells; ++c) all.push_back({p, 3 + common + 0.5 * normal[next++]});
  }
  return all;
}

TEST(Bootstrap, CoversTheTruthAtTheStatedRate) {
  for (const int prompts : {3, 6, 12}) {
    int covered = 0;
    constexpr int kRepeats = 400;
    for (int seed = 0; seed < kRepeats; ++seed) {
      const Average i = bootstrap_mean(drawn(prompts, 8, seed), seed, 200);
      covered += i.low <= 3 && 3 <= i.high;
      ASSERT_LE(i.low, i.value);
      ASSERT_LE(i.value, i.high);
    }
    // 95 % stated. The two-level bootstrap counts the cells' share twice, so it errs on the safe
    // side; three standard errors of 400 repeats are 3.3 %.
    EXPECT_GE(covered, kRepeats * 0.917) << prompts << " prompts";
  }
}

TEST(Bootstrap, IsNotUselesslyWide) {
  int covered = 0;
  for (int seed = 0; seed < 200; ++seed) {
    const Average i = bootstrap_mean(drawn(6, 8, seed), seed, 200);
    covered += i.low <= 3.6 && 3.6 <= i.high;
  }
  EXPECT_LT(covered, 100) << "intervals contain what is four standard errors away";
}

TEST(Bootstrap, MorePromptsShrinkIt) {
  double before = 1e9;
  for (const int prompts : {3, 6, 12, 24}) {
    double width = 0;
    for (int seed = 0; seed < 50; ++seed) {
      const Average i = bootstrap_mean(drawn(prompts, 8, 1000 + seed), seed, 200);
      width += i.high - i.low;
    }
    EXPECT_LT(width, 0.8 * before) << prompts;
    before = width;
  }
}

TEST(Bootstrap, GeometricMeanIsThatOfLogarithms) {
  const std::vector<Observation> all{{0, 1}, {0, 4}, {1, 2}, {1, 2}};
  const Average i = bootstrap_geometric_mean(all, 5);
  EXPECT_NEAR(i.value, 2, 1e-12);
  EXPECT_NEAR(i.low * i.high, 4, 1e-9);
}

TEST(Bootstrap, OnePromptOneCellKnowsNothing) {
  const Average i = bootstrap_mean(std::vector<Observation>{{0, 2.0}}, 1);
  EXPECT_EQ(i.value, 2);
  EXPECT_TRUE(std::isinf(i.high));
  EXPECT_THROW(bootstrap_mean({}, 1), Error);
}

TEST(Resamples, DrawAsManyUnitsAsThereAre) {
  const Resamples resamples(5, 300, 7);
  ASSERT_EQ(resamples.count(), 300);
  std::vector<int> drawn(5, 0);
  for (int r = 0; r < resamples.count(); ++r) {
    int total = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      drawn[i] += resamples.counts(r)[i];
      total += resamples.counts(r)[i];
    }
    EXPECT_EQ(total, 5);
  }
  for (const int count : drawn) EXPECT_NEAR(count, 300, 3 * std::sqrt(300.0));
}

TEST(Resamples, IntervalIsThatOfTheMean) {
  // The variance of a resampled mean is (n-1)/n s^2/n, so that the interval is t s / sqrt(n).
  const std::vector<double> values{1, 2, 3, 4, 5, 6};
  const auto interval = Resamples(6, 20000, 1).interval(values);
  ASSERT_TRUE(interval);
  const double reach = student_t95(5) * std::sqrt(3.5 / 6);
  EXPECT_NEAR(interval->low, 3.5 - reach, 0.02 * reach);
  EXPECT_NEAR(interval->high, 3.5 + reach, 0.02 * reach);
}

TEST(Resamples, RatioSeesWhatUnitsShare) {
  std::vector<double> a, b;
  for (const double common : {1.0, 4.0, 2.0, 9.0}) {
    a.push_back(common * 1.2);
    b.push_back(common);
  }
  const Resamples resamples(4, 500, 3);
  const auto ratio = resamples.ratio_interval(a, b);
  ASSERT_TRUE(ratio);
  EXPECT_NEAR(ratio->low, 1.2, 1e-12);
  EXPECT_NEAR(ratio->high, 1.2, 1e-12);
  EXPECT_FALSE(resamples.ratio_interval(a, std::vector<double>(4, 0.0)));
}

TEST(Resamples, OneUnitKnowsNothing) {
  EXPECT_FALSE(Resamples(1, 100, 1).interval(std::vector<double>{3.0}));
}

TEST(Resamples, MiddleLeavesOutTheTails) {
  std::vector<double> values;
  for (int i = 200; i >= 0; --i) values.push_back(i);
  const Interval interval = middle(values);
  EXPECT_DOUBLE_EQ(interval.low, 5);
  EXPECT_DOUBLE_EQ(interval.high, 195);
}

TEST(StudentT, TableAndLimit) {
  EXPECT_DOUBLE_EQ(student_t95(1), 12.706);
  EXPECT_DOUBLE_EQ(student_t95(30), 2.042);
  EXPECT_NEAR(student_t95(31), 2.040, 2e-3);
  EXPECT_NEAR(student_t95(1000), 1.962, 1e-3);
}

}  // namespace
}  // namespace karat::statistics
