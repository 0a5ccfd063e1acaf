// Drawn numbers: the same in the same order, inside their range, evenly.
#include "karat/numerics/random/dice.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace karat::numerics {
namespace {

TEST(Dice, DrawIIsUniformIOfTheStream) {
  Dice dice(3, 5);
  for (std::uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(dice.between(-50, 1000),
              -50 + static_cast<std::int64_t>(random_uniform(3, 5, i) * 1050));
}

TEST(Dice, StaysInItsRangeAndReachesAllOfIt) {
  Dice dice(1, 2);
  std::vector<int> counts(6, 0);
  for (int i = 0; i < 6000; ++i) ++counts.at(dice.below(6));
  for (const int count : counts) EXPECT_NEAR(count, 1000, 5 * 29);  // five standard deviations
  EXPECT_EQ(dice.below(1), 0u);
  EXPECT_EQ(dice.between(7, 8), 7);
}

TEST(Dice, StreamsAndSeedsDiffer) {
  const auto first = [](std::uint64_t seed, std::uint64_t stream) {
    return Dice(seed, stream).below(std::size_t{1} << 52);
  };
  EXPECT_NE(first(1, 1), first(1, 2));
  EXPECT_NE(first(1, 1), first(2, 1));
  EXPECT_EQ(first(1, 1), first(1, 1));
}

}  // namespace
}  // namespace karat::numerics
