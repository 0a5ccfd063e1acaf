// Ratio estimates: exact when all rows were drawn, and honest about the spread of draws.
#include "karat/statistics/draws.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "karat/numerics/random/dice.hpp"
#include "karat/statistics/student.hpp"

namespace karat::statistics {
namespace {

TEST(Draws, CompleteDrawsLeaveNothingToChance) {
  const Draws all{.rows = {{0}, {1, 2}}, .complete = true};
  const Estimate estimate =
      relative_l2(all, std::vector<double>{1, 2, 6}, std::vector<double>{4, 8, 24});
  EXPECT_DOUBLE_EQ(estimate.value, 0.5);
  EXPECT_EQ(estimate.standard_error, 0);
  EXPECT_EQ(half_width(all, {.value = 1, .standard_error = 1}), 0);
}

TEST(Draws, DrawsCountAlikeWhateverTheirSize) {
  const Draws draws{.rows = {{0}, {1, 2, 3}}};
  const Estimate estimate = mean(draws, std::vector<double>{5, 1, 1, 1});
  EXPECT_DOUBLE_EQ(estimate.value, 3);           // not 2, the mean of the rows
  EXPECT_DOUBLE_EQ(estimate.standard_error, 2);  // (5 - 1) / 2
  EXPECT_DOUBLE_EQ(half_width(draws, estimate), student_t95(1) * 2);
}

TEST(Draws, NoErrorIsNoErrorEvenOfNothing) {
  const Draws draws{.rows = {{0}, {1}}};
  EXPECT_EQ(relative_l2(draws, std::vector<double>{0, 0}, std::vector<double>{0, 0}).value, 0);
}

TEST(Draws, IntervalsCoverTheTruthAtTheStatedRate) {
  constexpr int kRepeats = 500, kDraws = 10, kRows = 4;
  int covered = 0;
  for (std::uint64_t seed = 0; seed < kRepeats; ++seed) {
    numerics::Dice dice(seed, 1);
    Draws draws;
    std::vector<double> values;
    for (int draw = 0; draw < kDraws; ++draw) {
      auto& rows = draws.rows.emplace_back();
      const auto common = static_cast<double>(dice.between(0, 1001));
      for (int row = 0; row < kRows; ++row) {
        rows.push_back(values.size());
        values.push_back(common + static_cast<double>(dice.between(0, 1001)));
      }
    }
    const Estimate estimate = mean(draws, values);
    covered += std::abs(estimate.value - 1000) <= half_width(draws, estimate);
  }
  // 95 % stated; three standard errors of 500 repeats are 2.9 %.
  EXPECT_GE(covered, kRepeats * 0.921);
  EXPECT_LE(covered, kRepeats * 0.979);
}

TEST(Draws, CosineIsThatOfTheWholeTensors) {
  const Draws all{.rows = {{0}, {1, 2}}, .complete = true};
  const std::vector<double> products{3, 1, 2}, a{4, 1, 4}, b{9, 1, 6};
  EXPECT_DOUBLE_EQ(cosine(all, products, a, b).value, 6 / std::sqrt(9.0 * 16));
  EXPECT_EQ(cosine(all, products, a, b).standard_error, 0);
  const std::vector<double> nothing{0, 0, 0};
  EXPECT_EQ(cosine(all, nothing, nothing, nothing).value, 1);
  EXPECT_EQ(cosine(all, nothing, a, nothing).value, 0);
}

TEST(Draws, CosinesCoverTheTruthAtTheStatedRate) {
  // b = a + e, e independent: cosine = sqrt(E a^2 / (E a^2 + E e^2)).
  constexpr int kRepeats = 500, kDraws = 40;
  const double a_square = 83500 + 501 * 501, e_square = 30100;  // (n^2 - 1) / 12, n = 1001, 601
  const double truth = std::sqrt(a_square / (a_square + e_square));
  int covered = 0;
  for (std::uint64_t seed = 0; seed < kRepeats; ++seed) {
    numerics::Dice dice(seed, 2);
    Draws draws;
    std::vector<double> products, a_squares, b_squares;
    for (std::size_t draw = 0; draw < kDraws; ++draw) {
      draws.rows.push_back({draw});
      const auto a = static_cast<double>(dice.between(1, 1002));
      const double b = a + static_cast<double>(dice.between(-300, 301));
      products.push_back(a * b), a_squares.push_back(a * a), b_squares.push_back(b * b);
    }
    const Estimate estimate = cosine(draws, products, a_squares, b_squares);
    covered += std::abs(estimate.value - truth) <= half_width(draws, estimate);
  }
  EXPECT_GE(covered, kRepeats * 0.91);
  EXPECT_LE(covered, kRepeats * 0.98);
}

}  // namespace
}  // namespace karat::statistics
