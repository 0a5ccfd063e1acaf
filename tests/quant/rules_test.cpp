// The rules of training kernels against a search of every code and a walk of every element: groups
// of 16 channels and of blocks, scales in E4M3, given multipliers, operands that enter as BF16.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <map>
#include <random>

#include "karat/quant/quantise.hpp"

namespace karat::quant {
namespace {

using numerics::FormatId;
using numerics::Path;

/// The nearest finite value of a format of eight bits or fewer, ties to the even code, saturating.
float nearest(float x, FormatId format) {
  static std::map<FormatId, std::vector<float>> tables;
  std::vector<float>& table = tables[format];
  if (table.empty())
    for (std::uint32_t code = 0; code < (format == FormatId::e2m1 ? 16u : 256u); ++code)
      table.push_back(numerics::decode(code, format));
  std::size_t best = table.size();
  for (std::size_t code = 0; code < table.size(); ++code) {
    if (!std::isfinite(table[code]) || std::signbit(table[code]) != std::signbit(x)) continue;
    const auto distance = [&](std::size_t of) { return std::abs(double{table[of]} - x); };
    if (best == table.size() || distance(code) < distance(best) ||
        (distance(code) == distance(best) && code % 2 == 0))
      best = code;
  }
  return table[best];
}

float to_bf16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u);
}

float flushed(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

constexpr std::size_t kTokens = 60;
const std::vector<video::Range> kBlocks{{0, 32}, {32, 57}, {57, 60}};

/// Which group an element belongs to, as the page says it.
int group_of(Group group, std::size_t token, std::size_t channel, std::size_t channels) {
  if (group == Group::block) return (token >= 32) + (token >= 57);
  if (group == Group::channels_16)
    return static_cast<int>(token * ((channels + 15) / 16) + channel / 16);
  return 0;
}

std::vector<float> values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = normal(random);
    if (seed % 3 == 1) x[i] = std::ldexp(x[i], static_cast<int>(random() % 40) - 30);
    if (seed % 3 == 2) x[i] = i / 50 % 2 ? 0.0f : std::round(x[i] * 4) / 4;
  }
  return x;
}

Quantised run(const std::vector<float>& x, std::size_t channels, const Rule& rule, Path path) {
  const auto order = video::tile_order(video::Tiling({1, 1, kTokens}, {1, 1, 1}));
  return quantise(numerics::row_major(x.data(), kTokens, channels), rule,
                  group_positions(rule, {1, 1, kTokens}, order, kBlocks, channels), path);
}

/// Codes' values and scales by search; the scale of a group of nothing but zeros is 1.
void expect_by_search(const Rule& rule, std::size_t channels, unsigned seed) {
  const std::vector<float> x = values(kTokens * channels, seed);
  std::map<int, float> amax;
  for (std::size_t i = 0; i < x.size(); ++i) {
    float& largest = amax[group_of(rule.group, i / channels, i % channels, channels)];
    largest = std::max(largest, std::abs(x[i]));
  }
  const float limit = rule.format == FormatId::e2m1   ? 6.0f
                      : rule.format == FormatId::e5m2 ? 57344.0f
                                                      : 448.0f;
  for (const Path path : {Path::scalar, Path::fast}) {
    const Quantised made = run(x, channels, rule, path);
    const bool codes_enter = rule.enters == Enters::codes;
    ASSERT_EQ(made.scales.size(), codes_enter ? amax.size() : 0);
    ASSERT_EQ(made.codes.size(), codes_enter ? x.size() : 0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const int group = group_of(rule.group, i / channels, i % channels, channels);
      float s = flushed(amax[group] / limit);
      if (rule.scale == ScaleFormat::e4m3) s = nearest(s, FormatId::e4m3);
      if (s == 0) s = 1;
      float coded = flushed(x[i] / s);
      if (rule.scale_rule == ScaleRule::given) {
        s = 1 / rule.multiplier;
        coded = flushed(x[i] * rule.multiplier);
      }
      float value = nearest(coded, rule.format);
      if (codes_enter) {
        ASSERT_EQ(made.scales[made.grouping.group(i / channels, i % channels)], s) << i;
        ASSERT_EQ(numerics::decode(made.codes[i], rule.format), value) << i << " of " << x[i];
      } else {
        value = to_bf16(flushed(value * s));
      }
      ASSERT_EQ(std::bit_cast<std::uint32_t>(made.values[i]), std::bit_cast<std::uint32_t>(value))
          << i << " of " << x[i] << " by " << s;
    }
  }
}

TEST(TrainingRules, GroupsOf16ChannelsAndBlocksBySearch) {
  for (unsigned seed = 0; seed < 3; ++seed)
    for (const FormatId format : {FormatId::e2m1, FormatId::e4m3, FormatId::e5m2})
      for (const Group group : {Group::tensor, Group::block, Group::channels_16})
        for (const ScaleFormat scale : {ScaleFormat::f32, ScaleFormat::e4m3})
          for (const Enters enters : {Enters::codes, Enters::bf16}) {
            SCOPED_TRACE(testing::Message() << static_cast<int>(format) << static_cast<int>(group)
                                            << static_cast<int>(scale) << static_cast<int>(enters)
                                            << " seed " << seed);
            // 40 channels end in a group of 8; 16 are one group.
            expect_by_search({.format = format, .group = group, .scale = scale, .enters = enters},
                             seed == 1 ? 16 : 40, seed);
            if (HasFatalFailure()) return;
          }
}

TEST(TrainingRules, GivenMultipliersBySearch) {
  for (unsigned seed = 0; seed < 3; ++seed)
    for (const FormatId format : {FormatId::e4m3, FormatId::e5m2})
      for (const float multiplier : {1.0f, 448.0f, 0.3f, 1000.0f})
        for (const Enters enters : {Enters::codes, Enters::bf16}) {
          SCOPED_TRACE(testing::Message() << multiplier << " seed " << seed);
          expect_by_search({.format = format,
                            .scale_rule = ScaleRule::given,
                            .multiplier = multiplier,
                            .enters = enters},
                           17, seed);
          if (HasFatalFailure()) return;
        }
}

TEST(TrainingRules, AScaleInE4M3SaturatesAndIsNeverZero) {
  const Rule rule{.format = FormatId::e2m1, .scale = ScaleFormat::e4m3};
  EXPECT_EQ(scale_of(6.0f, rule), 1.0f);
  EXPECT_EQ(scale_of(6.0f * 448, rule), 448.0f);
  EXPECT_EQ(scale_of(6e6f, rule), 448.0f);
  EXPECT_EQ(scale_of(6 * 0x1p-9f, rule), 0x1p-9f);
  EXPECT_EQ(scale_of(6 * 0x1p-10f, rule), 1.0f);  // a tie, to the even code 0
  EXPECT_EQ(scale_of(0.0f, rule), 1.0f);
  EXPECT_EQ(scale_of(6 * 17.0f, rule), 16.0f);  // a tie
}

TEST(TrainingRules, WhatEntersHasTheFormatAndNoScale) {
  const Rule fake{.format = FormatId::e2m1, .enters = Enters::bf16};
  EXPECT_EQ(entering_format(fake), FormatId::bf16);
  EXPECT_FALSE(leaves_scales(fake));
  const Rule codes{.format = FormatId::e2m1};
  EXPECT_EQ(entering_format(codes), FormatId::e2m1);
  EXPECT_TRUE(leaves_scales(codes));
  const Rule plain{.format = FormatId::f32, .enters = Enters::bf16};
  EXPECT_EQ(entering_format(plain), FormatId::f32);
}

}  // namespace
}  // namespace karat::quant
