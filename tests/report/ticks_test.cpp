// Ticks over ranges of all sizes: round, inside, as many as there is room for, told apart as
// printed.
#include "karat/report/ticks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

namespace karat::report {
namespace {

using testing::ElementsAre;

std::vector<std::string> labels(double low, double high, const TickRules& rules = {}) {
  std::vector<std::string> found;
  for (const Tick& tick : ticks(low, high, rules)) found.push_back(tick.label);
  return found;
}

void expect_readable(double low, double high, const TickRules& rules) {
  SCOPED_TRACE(testing::Message() << low << " to " << high << ", most " << rules.most
                                  << (rules.scale == Scale::linear ? "" : ", logarithmic")
                                  << (rules.whole ? ", whole" : ""));
  const auto found = ticks(low, high, rules);
  EXPECT_LE(std::ssize(found), rules.most);
  if (!rules.whole) {
    EXPECT_GE(found.size(), 2u);
  }
  double least = high - low;
  for (std::size_t i = 1; i < found.size(); ++i) {
    EXPECT_LT(found[i - 1].value, found[i].value);
    least = std::min(least, found[i].value - found[i - 1].value);
  }
  std::set<std::string> told_apart;
  for (const Tick& tick : found) {
    const double room = 1e-6 * (high - low);
    EXPECT_GE(tick.value, low - room);
    EXPECT_LE(tick.value, high + room);
    EXPECT_TRUE(told_apart.insert(tick.label).second) << tick.label << " stands twice";
    EXPECT_NEAR(std::stod(tick.label), tick.value, 1e-3 * least) << tick.label;
    EXPECT_LE(tick.label.size(), 20u) << tick.label;
    if (rules.whole) {
      EXPECT_EQ(tick.value, std::round(tick.value));
    }
  }
}

TEST(Ticks, AreReadableOverRangesOfAllSizes) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> power(-9, 9), unit(0, 1), narrow(-9, 1);
  for (int i = 0; i < 500; ++i) {
    const double size = std::pow(10, power(random)), low = (2 * unit(random) - 1) * size,
                 high = low + std::pow(10, narrow(random)) * size;
    for (const int most : {2, 3, 4, 7, 12}) {
      expect_readable(low, high, {.most = most});
      if (HasFailure()) return;
      expect_readable(std::abs(low) + 1e-12, std::abs(low) + 1e-12 + (high - low),
                      {.scale = Scale::logarithmic, .most = most});
      if (HasFailure()) return;
      if (size < 1e6) expect_readable(low, high, {.whole = true, .most = most});
      if (HasFailure()) return;
    }
  }
}

TEST(Ticks, StandAtRoundValues) {
  EXPECT_THAT(labels(0, 10), ElementsAre("0", "2", "4", "6", "8", "10"));
  EXPECT_THAT(labels(-0.11, 0.12), ElementsAre("-0.10", "-0.05", "0.00", "0.05", "0.10"));
  EXPECT_THAT(labels(0.9995, 1.0012), ElementsAre("0.9995", "1.0000", "1.0005", "1.0010"));
  EXPECT_THAT(labels(0, 3.1e9), ElementsAre("0", "5e8", "1e9", "1.5e9", "2e9", "2.5e9", "3e9"));
  EXPECT_THAT(labels(0, 2e-7, {.most = 4}), ElementsAre("0", "1e-7", "2e-7"));
}

TEST(Ticks, OfThingsThatAreCountedAreWhole) {
  EXPECT_THAT(labels(-0.03, 2.03, {.whole = true}), ElementsAre("0", "1", "2"));
  EXPECT_THAT(labels(6.5, 7.5, {.whole = true}), ElementsAre("7"));
  EXPECT_THAT(labels(0, 49, {.whole = true}), ElementsAre("0", "10", "20", "30", "40"));
}

TEST(Ticks, OfALogarithmicAxisStandAtPowersOrBetweenThem) {
  const TickRules rules{.scale = Scale::logarithmic};
  EXPECT_THAT(labels(1, 1e5, rules), ElementsAre("1", "10", "100", "1000", "10000", "100000"));
  EXPECT_THAT(labels(0.08, 6, rules), ElementsAre("0.1", "0.2", "0.5", "1", "2", "5"));
  EXPECT_THAT(labels(1e-9, 1e6, rules), testing::Contains("1e-6"));
  // Within a decade there is no power to stand at.
  EXPECT_THAT(labels(1.02, 1.09, rules), ElementsAre("1.02", "1.04", "1.06", "1.08"));
}

}  // namespace
}  // namespace karat::report
