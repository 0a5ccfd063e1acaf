// RoPE against its definition and its purpose: scores depend on distances only.
#include "karat/video/rope.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

TEST(Rope, SplitsTheHead) {
  EXPECT_EQ(rope_split(128), (Extent3{44, 42, 42}));
  EXPECT_EQ(rope_split(64), (Extent3{24, 20, 20}));
  for (int d = 1; d < 300; ++d) {
    const auto [t, h, w] = rope_split(d);
    EXPECT_EQ(t + h + w, d / 2 * 2);
    EXPECT_TRUE(t % 2 == 0 && h % 2 == 0 && h == w && t >= h) << d;
  }
}

TEST(Rope, FrequenciesFallFromOneByTheta) {
  const Rope rope({2, 2, 2}, 128);
  ASSERT_EQ(rope.pairs().size(), 64u);
  const struct {
    std::size_t pair;
    int Extent3::*axis;
    double frequency;
  } expected[] = {{0, &Extent3::t, 1},  {21, &Extent3::t, std::pow(10000, -42. / 44)},
                  {22, &Extent3::h, 1}, {42, &Extent3::h, std::pow(10000, -40. / 42)},
                  {43, &Extent3::w, 1}, {44, &Extent3::w, std::pow(10000, -2. / 42)}};
  for (const auto& row : expected) {
    EXPECT_EQ(rope.pairs()[row.pair].axis, row.axis);
    EXPECT_NEAR(rope.pairs()[row.pair].frequency, row.frequency, 1e-14);
  }
}

TEST(Rope, TurnsAdjacentPairsByPositionTimesFrequency) {
  const Rope rope({21, 45, 80}, 128);
  std::vector<float> row(128);
  for (int j = 0; j < 128; ++j) row[j] = static_cast<float>(j % 7) - 2.5f;
  const auto before = row;
  const Extent3 token{20, 44, 79};
  rope.rotate(token, row);
  for (std::size_t i = 0; i < 64; ++i) {
    const double angle = token.*rope.pairs()[i].axis * rope.pairs()[i].frequency;
    const double x = before[2 * i], y = before[2 * i + 1];
    EXPECT_NEAR(row[2 * i], x * std::cos(angle) - y * std::sin(angle), 1e-6);
    EXPECT_NEAR(row[2 * i + 1], x * std::sin(angle) + y * std::cos(angle), 1e-6);
  }
}

TEST(Rope, ScoresDependOnDistanceOnly) {
  const Rope rope({9, 9, 9}, 64);
  const auto score = [&](Extent3 a, Extent3 b) {
    std::vector<float> q(64), k(64);
    for (int j = 0; j < 64; ++j) q[j] = static_cast<float>(j % 5), k[j] = static_cast<float>(j % 3);
    rope.rotate(a, q), rope.rotate(b, k);
    double sum = 0;
    for (int j = 0; j < 64; ++j) sum += double(q[j]) * k[j];
    return sum;
  };
  EXPECT_NEAR(score({0, 1, 2}, {3, 3, 0}), score({5, 6, 8}, {8, 8, 6}), 1e-4);
  EXPECT_GT(std::fabs(score({0, 1, 2}, {3, 3, 0}) - score({0, 1, 2}, {3, 3, 1})), 0.1);
}

TEST(Rope, OddHeadsKeepTheirLastChannel) {
  std::vector<float> row(7, 1);
  Rope({3, 3, 3}, 7).rotate({2, 2, 2}, row);
  EXPECT_EQ(row[6], 1);
  EXPECT_NE(row[5], 1);
}

TEST(Rope, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(Rope({1, 1, 1}, 0), Error);
  EXPECT_THROW(Rope({1, 1, 1}, 8, 0), Error);
}

}  // namespace
}  // namespace karat::video
