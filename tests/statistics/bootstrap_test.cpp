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

TEST(StudentT, TableAndLimit) {
  EXPECT_DOUBLE_EQ(student_t95(1), 12.706);
  EXPECT_DOUBLE_EQ(student_t95(30), 2.042);
  EXPECT_NEAR(student_t95(31), 2.040, 2e-3);
  EXPECT_NEAR(student_t95(1000), 1.962, 1e-3);
}

}  // namespace
}  // namespace karat::statistics
