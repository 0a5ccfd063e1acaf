// The operations by themselves, where a bit shows their order.
#include <gtest/gtest.h>

#include <vector>

#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/row_sum.hpp"
#include "karat/attention/operations/score.hpp"

namespace karat::attention {
namespace {

using numerics::Interval;

TEST(RowSum, ColumnsGoToTheLaneThatHoldsThem) {
  const recipe::Recipe recipe;
  const Kernel kernel(recipe, 128);
  // 2^24 swallows a lone 1 but not a 2: the order is visible in the bits.
  std::vector<float> p(16, 1.0f);
  p[0] = 0x1p24f;
  PartialSums<float> sums{};
  add_to_row_sum(kernel, p, 1.0f, sums);
  EXPECT_EQ(sums, (PartialSums<float>{0x1p24f, 4, 4, 4}));
  EXPECT_EQ(row_sum(kernel, sums), (0x1p24f + 4.0f) + (4.0f + 4.0f));
  // ((l0 + l2) + (l1 + l3)) differs from left to right here.
  EXPECT_EQ(row_sum(kernel, PartialSums<float>{0x1p24f, 1, -0x1p24f, 1}), 2.0f);
  // Three columns reach two lanes; the past of all four is rescaled.
  add_to_row_sum(kernel, std::vector<float>{1, 1, 1}, 0.5f, sums);
  EXPECT_EQ(sums, (PartialSums<float>{0x1p23f + 2, 3, 2, 2}));
}

TEST(RowSum, FusedFirstRoundsOnceWhereABlockBegins) {
  recipe::Recipe recipe;
  recipe.softmax.row_sum_start = recipe::RowSumStart::fused_first;
  const Kernel kernel(recipe, 128);
  const float l = 1 + 0x1p-23f, alpha = 1 + 0x1p-23f;  // l*alpha is 1 + 2^-22 + 2^-46
  PartialSums<float> sums{l, l, l, l};
  add_to_row_sum(kernel, std::vector<float>{0x1p-24f, 0, 0x1p-24f}, alpha, sums);
  EXPECT_EQ(sums[0], 1 + 3 * 0x1p-23f);  // above the tie that two roundings see
  EXPECT_EQ(sums[1], 1 + 3 * 0x1p-23f);
  EXPECT_EQ(sums[2], 1 + 0x1p-22f);
  PartialSums<float> exact{l, l, l, l};
  add_to_row_sum(kernel, std::vector<double>{0x1p-24, 0}, double{alpha}, exact);
  EXPECT_EQ(exact[0], 1 + 3 * 0x1p-23f);
}

TEST(RowSum, IntervalsHoldBothEndsOfEveryOrder) {
  for (const auto order : {recipe::RowSumOrder::wgmma_quad, recipe::RowSumOrder::sequential,
                           recipe::RowSumOrder::pairwise}) {
    recipe::Recipe recipe;
    recipe.softmax.row_sum_order = order;
    const Kernel kernel(recipe, 128);
    std::vector<Interval> terms;
    std::vector<float> low, high;
    for (int n = 0; n < 23; ++n) {
      const float x = 1.0f / static_cast<float>(3 + n);
      low.push_back(x);
      high.push_back(x * (1 + 0x1p-20f));
      terms.push_back({low.back(), high.back()});
    }
    PartialSums<Interval> sums{};
    PartialSums<float> low_sums{}, high_sums{};
    for (int visit = 0; visit < 3; ++visit) {
      add_to_row_sum(kernel, terms, Interval(0.75f), sums);
      add_to_row_sum(kernel, low, 0.75f, low_sums);
      add_to_row_sum(kernel, high, 0.75f, high_sums);
    }
    EXPECT_EQ(row_sum(kernel, sums).low, row_sum(kernel, low_sums));
    EXPECT_EQ(row_sum(kernel, sums).high, row_sum(kernel, high_sums));
    EXPECT_LT(row_sum(kernel, low_sums), row_sum(kernel, high_sums));
  }
}

TEST(Cast, ArraysDrawTheSameWordsAsElements) {
  std::vector<float> x, y;
  for (int n = 0; n < 1500; ++n) x.push_back(1 + static_cast<float>(n) / 1500);
  y = x;
  const numerics::Policy policy{.rounding = numerics::Rounding::stochastic};
  for (const auto format : {numerics::FormatId::e4m3, numerics::FormatId::bf16}) {
    cast(x, format, policy, numerics::Path::fast);
    cast(y, format, policy, numerics::Path::scalar);
    EXPECT_EQ(x, y);
  }
}

TEST(SkipTest, TheFirstVisitStays) {
  recipe::Recipe recipe;
  recipe.skip = {.rule = recipe::SkipRule::block_maximum, .threshold = 10};
  const Kernel kernel(recipe, 128);
  SkipTest first(kernel, 0), far(kernel, 1), near(kernel, 1);
  for (SkipTest* test : {&first, &far, &near}) test->row(0, -11, 1);
  near.row(0, -9, 1);
  EXPECT_FALSE(first.skips());
  EXPECT_TRUE(far.skips());
  EXPECT_FALSE(near.skips());
}

}  // namespace
}  // namespace karat::attention
