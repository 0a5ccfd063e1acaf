// The operations by themselves, where a bit shows their order.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/finish.hpp"
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

TEST(RowSum, NaNIsOneWordWhicheverOfTwoASumKeeps) {
  const float negative = std::bit_cast<float>(0xFFC00000u),
              other = std::bit_cast<float>(0x7FFFFFFFu);
  recipe::Recipe packed;
  packed.softmax.row_sum_order = recipe::RowSumOrder::packed_quad;
  for (const recipe::Recipe& recipe : {recipe::Recipe(), packed})
    for (const PartialSums<float>& sums :
         {PartialSums<float>{negative, other, 1, 1}, PartialSums<float>{other, negative, 1, 1}})
      EXPECT_EQ(std::bit_cast<std::uint32_t>(row_sum(Kernel(recipe, 128), sums)), 0x7FFFFFFFu);
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

TEST(RowSum, ThreadTreesAddNeighboursThenLanesThenThePast) {
  recipe::Recipe recipe;
  recipe.softmax.row_sum_order = recipe::RowSumOrder::thread_tree;
  recipe.softmax.row_sum_start = recipe::RowSumStart::fused_first;
  const Kernel kernel(recipe, 128);
  // Lane 0 holds columns 0, 1, 8, 9, ...: (2^24 + 1) + (1 + 1) is 2^24 + 2, one by one 2^24.
  std::vector<float> p(32, 0.0f);
  p[0] = 0x1p24f;
  p[1] = p[8] = p[9] = 1;
  PartialSums<float> sums{};
  add_to_row_sum(kernel, p, 1.0f, sums);
  EXPECT_EQ(row_sum(kernel, sums), 0x1p24f + 2);
  // ((l0 + l2) + (l1 + l3)), then one fused addition to the past.
  sums = {1 + 0x1p-23f, 0, 0, 0};
  add_to_row_sum(kernel, std::vector<float>{0x1p-24f}, 1 + 0x1p-23f, sums);
  EXPECT_EQ(row_sum(kernel, sums), 1 + 3 * 0x1p-23f);
  // Short and odd blocks: what is not there counts as zero.
  sums = {};
  add_to_row_sum(kernel, std::vector<float>(13, 1.0f), 1.0f, sums);
  EXPECT_EQ(row_sum(kernel, sums), 13);
}

TEST(Score, FoldsScalesIntoTheExponentUntilTheLastVisit) {
  recipe::Recipe recipe;
  recipe.subnormals = numerics::Subnormals::keep;
  recipe.qk.scale_order = recipe::ScaleOrder::folded_until_last;
  recipe.softmax.exponent = recipe::Exponent::accumulator;
  recipe.p.apply = recipe::PApply::exponent_offset;
  recipe.p.offset = 8.807f;
  recipe.p.offset_enters = recipe::OffsetEnters::scores;
  const Kernel kernel(recipe, 128);
  const float a = 12345, s_q = 0.0123f, s_k = 0.0234f, both = s_q * s_k, c = kernel.c;
  const float earlier = score(kernel, a, s_q, s_k), last = score(kernel, a, s_q, s_k, Turn::last);
  EXPECT_EQ(earlier, std::fma(a, both * c, -8.807f));
  EXPECT_EQ(last, std::fma(a * both, c, -8.807f));
  // P's exponent starts from the accumulator again, under a maximum that holds the offset.
  const float m = earlier + 1;
  const Scaled at = scaled(kernel, a, s_q, s_k, Turn::earlier);
  float x = 0;
  p_exponents(kernel, {.s = {&earlier, 1}, .base = {at.base}, .factor = {at.factor}}, m, 1,
              {&x, 1});
  EXPECT_EQ(x, std::fma(a, both * c, -m));
  EXPECT_EQ(kernel.reference(m, 1), m);
}

TEST(Score, TheQuerysScaleTakesTheConstantFirst) {
  recipe::Recipe recipe;
  recipe.qk.scale_order = recipe::ScaleOrder::query_first;
  const Kernel kernel(recipe, 128);
  std::size_t differing = 0;
  for (int n = 1; n < 100; ++n) {
    const float s_q = 0.001f * static_cast<float>(n), s_k = 0.0234f;
    EXPECT_EQ(score(kernel, 3, s_q, s_k), 3 * ((kernel.c * s_q) * s_k));
    differing += (kernel.c * s_q) * s_k != (s_q * s_k) * kernel.c;
  }
  EXPECT_GT(differing, 20u);
}

TEST(Score, TheOffsetMayBeFusedWithTheMaximum) {
  recipe::Recipe recipe;
  recipe.qk.scale_order = recipe::ScaleOrder::fused;
  recipe.p.apply = recipe::PApply::exponent_offset;
  recipe.p.offset = 8;
  std::size_t differing = 0;
  for (const auto enters : {recipe::OffsetEnters::separate, recipe::OffsetEnters::fused}) {
    recipe.p.offset_enters = enters;
    const Kernel kernel(recipe, 128);
    for (int n = 1; n < 100; ++n) {
      const float m = 0.37f * static_cast<float>(n), u = 0.123f;
      const float separate = m * u - 8, fused = std::fma(m, u, -8.0f);
      EXPECT_EQ(kernel.reference(m, u), enters == recipe::OffsetEnters::fused ? fused : separate);
      differing += separate != fused;
    }
  }
  EXPECT_GT(differing, 20u);
}

TEST(Finish, DivFullScalesBothSidesAtTheEndsOfTheRange) {
  recipe::Recipe recipe;
  recipe.subnormals = numerics::Subnormals::keep;
  recipe.p.multiplier = 448;
  recipe.finish.reciprocal = recipe::Reciprocal::div_full;
  recipe.finish.divisor = recipe::Divisor::multiplied;
  const Kernel kernel(recipe, 2);
  EXPECT_EQ(divisor(kernel, 3), 3 * 448.0f);
  const auto divide = [&](float o, float by) {
    std::vector<float> row(2, o), factor(2, 1.0f);
    const float r = reciprocal(kernel, by);
    recipe.output = numerics::FormatId::f32;
    finish_row(
        kernel, std::span(row), [r](std::size_t) { return r; },
        {.factor = factor, .mean = {}, .division_scale = division_scale(kernel, by)},
        numerics::Path::scalar);
    return row[1];
  };
  EXPECT_EQ(divide(8, 2), 4);
  EXPECT_EQ(divide(0x1p126f, 0x1p127f), 0.5f);   // 1/2^127 is no normal number
  EXPECT_EQ(divide(0x1p-120f, 0x1p-127f), 128);  // nor is 2^-127
}

TEST(RowSum, IntervalsHoldBothEndsOfEveryOrder) {
  for (const auto order : {recipe::RowSumOrder::wgmma_quad, recipe::RowSumOrder::sequential,
                           recipe::RowSumOrder::pairwise, recipe::RowSumOrder::thread_tree,
                           recipe::RowSumOrder::packed_quad}) {
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
  for (SkipTest* test : {&first, &far, &near}) test->row(0, 0, -11, 1);
  near.row(1, 0, -9, 1);
  EXPECT_FALSE(first.skips());
  EXPECT_TRUE(far.skips());
  EXPECT_FALSE(near.skips());
}

TEST(SkipTest, OnlyTheLastRowsDecide) {
  recipe::Recipe recipe;
  recipe.block.q = 4;
  recipe.skip = {.rule = recipe::SkipRule::next_step, .threshold = 10, .rows = 2};
  const Kernel kernel(recipe, 128);
  SkipTest test(kernel, 1), none(kernel, 1);
  for (std::size_t row = 0; row < 4; ++row) test.row(row, 0, row < 2 ? 5.0f : -11.0f, 1);
  EXPECT_TRUE(test.small());
  EXPECT_FALSE(test.skips()) << "the next step does";
  for (std::size_t row = 0; row < 2; ++row) none.row(row, 0, -11, 1);
  EXPECT_FALSE(none.small()) << "a short block has no row that decides";
}

TEST(SkipTest, ComparesTheExponentialWithFactorOverKeys) {
  recipe::Recipe recipe;
  recipe.skip = {.rule = recipe::SkipRule::exponential};
  Kernel kernel(recipe, 128);
  kernel.skip_lambda = 0x1p-4f;
  SkipTest at(kernel, 1), below(kernel, 1), unseen(kernel, 1);
  at.row(0, 3, -1, 1);
  below.row(0, 3, -1.001f, 1);
  below.row(1, 3, -std::numeric_limits<float>::infinity(), 1);
  unseen.row(0, 3, -std::numeric_limits<float>::infinity(), 1);
  EXPECT_FALSE(at.skips());
  EXPECT_TRUE(below.skips());
  EXPECT_TRUE(unseen.skips());
}

TEST(RowSum, PackedIsEightSumsThatMeetPairwise) {
  recipe::Recipe recipe;
  recipe.softmax.row_sum_order = recipe::RowSumOrder::packed_quad;
  const Kernel kernel(recipe, 128);
  std::vector<float> terms(17);
  for (std::size_t n = 0; n < terms.size(); ++n) terms[n] = 1.0f / static_cast<float>(3 + n);
  PartialSums<float> sums{0.7f, 0, 0, 0};
  add_to_row_sum(kernel, terms, 0.3f, sums);
  float s[8];
  for (std::size_t n = 0; n < 8; ++n) s[n] = terms[n];
  s[0] = 0.7f * 0.3f + terms[0];
  for (std::size_t n = 8; n < 17; ++n) s[n % 8] += terms[n];
  EXPECT_EQ(row_sum(kernel, sums),
            ((s[0] + s[2]) + (s[4] + s[6])) + ((s[1] + s[3]) + (s[5] + s[7])));
}

}  // namespace
}  // namespace karat::attention
