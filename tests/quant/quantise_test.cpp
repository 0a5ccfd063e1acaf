// Scales and codes against hand-computed values, and the fast path against the scalar one.
#include "karat/quant/quantise.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "karat/numerics/base/error.hpp"

namespace karat::quant {
namespace {

using numerics::FormatId;
using numerics::Path;
using video::Extent3;

Rule e4m3(Group group) { return {.format = FormatId::e4m3, .group = group, .tile = {2, 2, 2}}; }

video::TokenOrder order_of(Extent3 grid, Extent3 tile) {
  return video::tile_order(video::Tiling(grid, tile));
}

Quantised run(const std::vector<float>& x, std::size_t channels, const Rule& rule, Extent3 grid,
              Path path = Path::scalar) {
  const auto order = order_of(grid, {1, 1, 1});
  return quantise(numerics::row_major(x.data(), x.size() / channels, channels), rule,
                  group_positions(rule, grid, order, {}, channels), path);
}

TEST(Scale, IsAmaxOver448AndOneForAnEmptyGroup) {
  EXPECT_EQ(scale_of(448.0f, e4m3(Group::tensor)), 1.0f);
  EXPECT_EQ(scale_of(3.0f, e4m3(Group::tensor)), 3.0f / 448.0f);
  EXPECT_EQ(scale_of(0.0f, e4m3(Group::tensor)), 1.0f);
}

TEST(Scale, OfATinyGroupThatWouldFlushToZeroIsOne) {
  EXPECT_EQ(scale_of(1e-38f, e4m3(Group::tensor)), 1.0f);
}

TEST(Scale, GuardsActAsNamed) {
  Rule rule = e4m3(Group::tensor);
  rule.guard = Guard::floor_1e_7;
  EXPECT_EQ(scale_of(0.0f, rule), 1e-7f / 448.0f);
  rule.guard = Guard::add_1e_7;
  EXPECT_EQ(scale_of(448.0f, rule), 1.0f + 1e-7f);
  rule.guard = Guard::floor_1e_4;
  EXPECT_EQ(scale_of(1e-5f, rule), 1e-4f / 448.0f);
}

TEST(Scale, PowersOfTwoRoundAsNamed) {
  Rule rule = e4m3(Group::tensor);
  const float amax = 448.0f * 1.5f;  // s = 1.5
  rule.scale = ScaleFormat::ue8m0_up;
  EXPECT_EQ(scale_of(amax, rule), 2.0f);
  EXPECT_EQ(scale_of(448.0f, rule), 1.0f);
  rule.scale = ScaleFormat::ue8m0_floor;
  EXPECT_EQ(scale_of(amax, rule), 1.0f);
  rule.scale = ScaleFormat::ue8m0_nearest;
  EXPECT_EQ(scale_of(448.0f * 1.25f, rule), 1.0f);
  EXPECT_EQ(scale_of(448.0f * 1.75f, rule), 2.0f);
  rule.scale = ScaleFormat::bf16;
  EXPECT_EQ(scale_of(448.0f * (1.0f + 0x1p-10f), rule), 1.0f);
}

TEST(Scale, OfMicroscalingIsAPowerOfTwoFromTheExponents) {
  Rule rule = e4m3(Group::tensor);
  rule.scale_rule = ScaleRule::exponent;
  EXPECT_EQ(scale_of(1.0f, rule), 0x1p-8f);
  EXPECT_EQ(scale_of(std::nextafter(2.0f, 0.0f), rule), 0x1p-8f);
  EXPECT_EQ(scale_of(256.0f, rule), 1.0f);
  EXPECT_EQ(scale_of(511.0f, rule), 1.0f);
  EXPECT_EQ(scale_of(0.0f, rule), 1.0f);
  EXPECT_EQ(scale_of(0x1p-118f, rule), 0x1p-126f);
  EXPECT_EQ(scale_of(0x1p-119f, rule), 1.0f);  // flushed
  EXPECT_EQ(scale_of(std::numeric_limits<float>::max(), rule), 0x1p119f);
  rule.format = FormatId::e5m2;
  EXPECT_EQ(scale_of(1.0f, rule), 0x1p-15f);
  rule.format = FormatId::int8;
  EXPECT_EQ(scale_of(1.0f, rule), 0x1p-6f);
  for (const ScaleFormat format : {ScaleFormat::ue8m0_up, ScaleFormat::ue8m0_nearest,
                                   ScaleFormat::ue8m0_floor, ScaleFormat::bf16}) {
    rule.scale = format;
    EXPECT_EQ(scale_of(3.0f, rule), 0x1p-5f);
  }
}

/// amax/256 is exact, so that its power of two from below is Microscaling's for E4M3.
TEST(Scale, OfMicroscalingIsThePowerOfTwoBelowA256th) {
  std::mt19937 random(9);
  Rule exponent = e4m3(Group::tensor), floor = e4m3(Group::tensor);
  exponent.scale_rule = ScaleRule::exponent;
  floor.scale = ScaleFormat::ue8m0_floor;
  floor.limit = 256;
  for (int i = 0; i < 100000; ++i) {
    const float amax = std::bit_cast<float>(static_cast<std::uint32_t>(random() % 0x7F800000u));
    ASSERT_EQ(scale_of(amax, exponent), scale_of(amax, floor)) << amax;
  }
}

/// 1 under both rules: 2^(floor(log2 1) - 8) holds it as 256, floor(1/448) saturates at 448.
TEST(Quantise, RoundingDownTheQuotientIsAnotherRuleThanMicroscaling) {
  Rule rule = e4m3(Group::tensor);
  rule.scale_rule = ScaleRule::exponent;
  const auto microscaling = run({1.0f, 0.4f}, 2, rule, {1, 1, 1});
  EXPECT_EQ(microscaling.values[0] * microscaling.scales[0], 1.0f);
  rule.scale_rule = ScaleRule::divide;
  rule.scale = ScaleFormat::ue8m0_floor;
  const auto floor = run({1.0f, 0.4f}, 2, rule, {1, 1, 1});
  EXPECT_EQ(floor.values[0] * floor.scales[0], 0.875f);
}

// Where the scale would be 0 it is 1, and so is what the codes are multiplied by.
TEST(Quantise, AGuardedGroupsFactorIsThatOfItsScale) {
  for (const float limit : {0.0f, 2.25f})
    for (const float amax : {1e-38f, 1e-44f, 5e-36f, 1e-30f, 1.0f, 0.0f}) {
      Rule rule = e4m3(Group::channel);
      rule.code_rule = CodeRule::inverse_scale;
      rule.limit = limit;
      const auto out = run({amax, -amax / 2}, 1, rule, {1, 1, 2});
      const float step = out.scales[0] * (limit > 0 ? 0.25f : 32.0f) / 2;  // of codes near amax
      EXPECT_NEAR(out.scales[0] * out.values[0], amax, step) << amax << " " << limit;
      EXPECT_NEAR(out.scales[0] * out.values[1], -amax / 2, step) << amax << " " << limit;
      if (out.scales[0] == 1.0f && amax < 1.0f) {
        EXPECT_EQ(out.values[0], 0.0f) << amax;
      }
    }
}

TEST(Quantise, HandComputedCodes) {
  // amax 448: s = 1, so codes are plain conversions: 448 -> 7E, 1 -> 38, -2^-9 -> 81, 17 ties
  // to 16.
  const auto out = run({448.0f, 1.0f, -0x1p-9f, 17.0f}, 4, e4m3(Group::tensor), {1, 1, 1});
  EXPECT_EQ(out.codes, (std::vector<std::uint8_t>{0x7E, 0x38, 0x81, 0x58}));
  EXPECT_EQ(out.values, (std::vector<float>{448.0f, 1.0f, -0x1p-9f, 16.0f}));
}

TEST(Quantise, GroupsHaveScalesOfTheirOwn) {
  // Two tokens, two channels.
  const std::vector<float> x{1.0f, 2.0f, 4.0f, 8.0f};
  EXPECT_EQ(run(x, 2, e4m3(Group::tensor), {1, 1, 2}).scales, (std::vector{8.0f / 448}));
  EXPECT_EQ(run(x, 2, e4m3(Group::token), {1, 1, 2}).scales, (std::vector{2.0f / 448, 8.0f / 448}));
  EXPECT_EQ(run(x, 2, e4m3(Group::channel), {1, 1, 2}).scales,
            (std::vector{4.0f / 448, 8.0f / 448}));
  const auto tiles = run({1, 2, 3}, 1, e4m3(Group::tile), {1, 1, 3});
  EXPECT_EQ(tiles.scales, (std::vector{2.0f / 448, 3.0f / 448}));
  EXPECT_EQ(tiles.scale(1, 0), 2.0f / 448);
  EXPECT_EQ(tiles.scale(2, 0), 3.0f / 448);
}

TEST(Quantise, TheThreeCodeRulesAreThreeRules) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(1 << 16);
  for (float& v : x)  // BF16 data, where the rules differ in a few codes of ten thousand
    v = std::bit_cast<float>(std::bit_cast<std::uint32_t>(normal(random)) & 0xFFFF0000u);
  Rule rule = e4m3(Group::token);
  std::vector<std::vector<std::uint8_t>> codes;
  for (const CodeRule code_rule :
       {CodeRule::divide, CodeRule::reciprocal, CodeRule::inverse_scale}) {
    rule.code_rule = code_rule;
    codes.push_back(run(x, 64, rule, {1, 1, 1024}).codes);
  }
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < a; ++b) {
      std::size_t differing = 0;
      for (std::size_t i = 0; i < x.size(); ++i) differing += codes[a][i] != codes[b][i];
      EXPECT_GT(differing, 0u);
      EXPECT_LT(differing, x.size() / 300);
    }
}

TEST(Quantise, FastEqualsScalarForEveryRule) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-140, 100);
  const Extent3 grid{3, 4, 5};
  const std::size_t channels = 17;
  for (int round = 0; round < 300; ++round) {
    std::vector<float> x(grid.volume() * channels);
    for (float& v : x) {
      v = normal(random);
      if (round % 3 == 1) v = std::ldexp(v, exponent(random));
      if (round % 3 == 2) v = random() % 4 ? 0.0f : v;
    }
    constexpr FormatId kFormats[] = {FormatId::e4m3, FormatId::e5m2, FormatId::e2m1, FormatId::int8,
                                     FormatId::int4};
    constexpr Group kGroups[] = {Group::tensor,  Group::tile,         Group::token,
                                 Group::channel, Group::tile_channel, Group::channels_16};
    const Rule rule{.format = kFormats[random() % std::size(kFormats)],
                    .group = kGroups[round % std::size(kGroups)],
                    .tile = {2, 3, 2},
                    .scale = static_cast<ScaleFormat>(random() % 6),
                    .scale_rule = static_cast<ScaleRule>(random() % 4),
                    .code_rule = static_cast<CodeRule>(random() % 3),
                    .guard = static_cast<Guard>(random() % 4),
                    .multiplier = std::ldexp(1.0f, static_cast<int>(random() % 20) - 6),
                    .enters = static_cast<Enters>(random() % 2)};
    const auto scalar = run(x, channels, rule, grid, Path::scalar);
    const auto fast = run(x, channels, rule, grid, Path::fast);
    ASSERT_EQ(scalar.codes, fast.codes) << "round " << round;
    ASSERT_EQ(scalar.scales, fast.scales) << "round " << round;
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(scalar.values[i]),
                std::bit_cast<std::uint32_t>(fast.values[i]));
  }
}

TEST(Quantise, RowsWithoutChannelsHaveNeitherCodesNorScales) {
  const Rule rule{.format = FormatId::e2m1, .group = Group::channels_16};
  const Grouping none{.row_part = {}, .row_parts = 1, .channels = 0, .width = 16};
  for (const Path path : {Path::scalar, Path::fast}) {
    const float nothing = 0;
    const Quantised out = quantise(numerics::row_major(&nothing, 3, 0), rule, none, path);
    EXPECT_EQ(out.rows, 3u);
    EXPECT_TRUE(out.codes.empty() && out.values.empty() && out.scales.empty());
  }
}

TEST(Quantise, PlainCastsHaveNoScale) {
  const auto out = run({1.0f + 0x1p-8f, 3e38f}, 2, {.format = FormatId::bf16}, {1, 1, 1});
  EXPECT_TRUE(out.scales.empty());
  EXPECT_EQ(out.values[0], 1.0f);
  EXPECT_EQ(out.scale(0, 0), 1.0f);
}

TEST(Quantise, PlainCastsOverflowAsTheRuleSays) {
  using numerics::Overflow;
  const auto cast = [](FormatId format, Overflow overflow, Path path) {
    return run({70000.0f, -3.4e38f}, 2, {.format = format, .overflow = overflow}, {1, 1, 1}, path)
        .values;
  };
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const Path path : {Path::scalar, Path::fast}) {
    EXPECT_EQ(cast(FormatId::f16, Overflow::infinity, path), (std::vector{kInf, -kInf}));
    EXPECT_EQ(cast(FormatId::f16, Overflow::saturate, path), (std::vector{65504.0f, -65504.0f}));
    EXPECT_TRUE(std::isnan(cast(FormatId::f16, Overflow::nan, path)[0]));
    EXPECT_EQ(cast(FormatId::bf16, Overflow::infinity, path)[1], -kInf);
    EXPECT_EQ(cast(FormatId::bf16, Overflow::saturate, path)[1], -0x1.FEp127f);
  }
  EXPECT_EQ(usual_overflow(FormatId::f16), Overflow::infinity);
  EXPECT_EQ(usual_overflow(FormatId::e5m2), Overflow::saturate);
}

TEST(Grouping, RowsFollowBlocksAndThreads) {
  const auto order = order_of({1, 1, 40}, {1, 1, 1});
  const std::vector<video::Range> blocks{{0, 32}, {32, 40}};
  Rule rule = e4m3(Group::rows);
  rule.rows = 16;
  auto groups = group_positions(rule, {1, 1, 40}, order, blocks, 4);
  EXPECT_EQ(groups.count(), 3);
  EXPECT_EQ(groups.group(15, 0), 0);
  EXPECT_EQ(groups.group(16, 3), 1);
  EXPECT_EQ(groups.group(39, 0), 2);
  rule.group = Group::rows_stride_8;  // rows 8k + i share group i
  groups = group_positions(rule, {1, 1, 40}, order, blocks, 4);
  EXPECT_EQ(groups.group(3, 0), groups.group(11, 0));
  EXPECT_NE(groups.group(3, 0), groups.group(19, 0));
  EXPECT_NE(groups.group(3, 0), groups.group(4, 0));
  rule.group = Group::row_pairs_stride_8;  // rows 8k + 2i and 8k + 2i + 1
  groups = group_positions(rule, {1, 1, 40}, order, blocks, 4);
  EXPECT_EQ(groups.group(2, 0), groups.group(11, 0));
  EXPECT_NE(groups.group(2, 0), groups.group(4, 0));
}

TEST(Scale, ALimitBelowTheLargestCodeIsKept) {
  Rule rule = e4m3(Group::tensor);
  rule.limit = 2.25f;
  const auto out = run({9.0f, -4.0f}, 2, rule, {1, 1, 1});
  EXPECT_EQ(out.scales, std::vector{4.0f});
  EXPECT_EQ(out.values, (std::vector{2.25f, -1.0f}));
}

TEST(FromCodes, RefusesCountsThatDoNotFit) {
  const std::vector<std::uint8_t> codes(6);
  const std::vector<float> scales(1);
  const Rule rule = e4m3(Group::tensor);
  const auto groups = group_positions(rule, {1, 1, 3}, order_of({1, 1, 3}, {1, 1, 1}), {}, 2);
  EXPECT_NO_THROW(from_codes(codes, scales, 3, 2, FormatId::e4m3, groups));
  EXPECT_THROW(from_codes(codes, scales, 2, 2, FormatId::e4m3, groups), Error);
  EXPECT_THROW(from_codes(codes, {}, 3, 2, FormatId::e4m3, groups), Error);
}

}  // namespace
}  // namespace karat::quant
