// Codes of every legal scale, against quantise() itself.
#include "coded_group.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "karat/bounds/bounds.hpp"

namespace karat::bounds {
namespace {

using numerics::FormatId;
using quant::Rule;

constexpr Rule kRules[] = {
    {.format = FormatId::int8, .rounding = numerics::Rounding::nearest_away},
    {.format = FormatId::int8, .scale_rule = quant::ScaleRule::multiply, .limit = 120},
    {.format = FormatId::e4m3, .guard = quant::Guard::floor_1e_7},
    {.format = FormatId::e4m3,
     .scale = quant::ScaleFormat::bf16,
     .overflow = numerics::Overflow::nan},
    {.format = FormatId::e4m3,
     .scale = quant::ScaleFormat::ue8m0_floor,
     .code_rule = quant::CodeRule::inverse_scale},
    {.format = FormatId::e5m2,
     .scale = quant::ScaleFormat::ue8m0_up,
     .scale_rule = quant::ScaleRule::exponent,
     .overflow = numerics::Overflow::infinity},
    {.format = FormatId::e2m1, .scale = quant::ScaleFormat::e4m3, .enters = quant::Enters::bf16},
    {.format = FormatId::e2m1, .scale = quant::ScaleFormat::e4m3},
    {.format = FormatId::e2m1,
     .scale = quant::ScaleFormat::e4m3,
     .code_rule = quant::CodeRule::inverse_scale},
    {.format = FormatId::int8,
     .code_rule = quant::CodeRule::reciprocal,
     .guard = quant::Guard::add_1e_7,
     .rounding = numerics::Rounding::down}};

float between(std::mt19937& random, Interval x) {
  const double share = std::uniform_real_distribution<double>(0, 1)(random);
  return static_cast<float>(x.low + share * (static_cast<double>(x.high) - x.low));
}

// Where nothing is free the range is one code.
TEST(CodedGroup, HoldsWhatEveryLegalScaleGives) {
  std::mt19937 random(5);
  for (const Rule& rule : kRules)
    for (const float size : {1e-44f, 3e-36f, 1e-6f, 0.004f, 0.006f, 1.0f, 3000.0f})
      for (const float width : {0.0f, 0x1p-22f, 0x1p-6f, 1.0f})
        for (int draw = 0; draw < 40; ++draw) {
          const float largest = between(random, {size / 2, size * 2});
          const Interval amax{largest * (1 - width), largest};
          const float at = between(random, {-largest, largest});
          const Interval x{std::max(at - width * std::abs(at), -largest),
                           std::min(at + width * std::abs(at), largest)};
          const CodedGroup group(rule, amax);
          for (int legal = 0; legal < 8; ++legal) {
            const float a = legal < 2 ? (legal == 0 ? amax.low : amax.high) : between(random, amax);
            const float of = std::clamp(between(random, x), -a, a);
            if (of < x.low || of > x.high) continue;
            const float pair[] = {of, a};
            const auto made = quant::quantise(numerics::row_major<const float>(pair, 1, 2), rule,
                                              {}, numerics::Path::scalar);
            const auto what = [&] {
              return std::to_string(&rule - kRules) + ": " + std::to_string(of) + " of " +
                     std::to_string(a);
            };
            if (rule.enters == quant::Enters::bf16) {
              const Interval range = group.dequantised(x);
              ASSERT_TRUE(inside(made.values[0], range.low, range.high)) << what();
              continue;
            }
            const Interval code = group.code(x), value = group.value(x, 2.0f);
            ASSERT_TRUE(inside(made.values[0], code.low, code.high)) << what();
            ASSERT_TRUE(inside(made.values[0] * made.scales[0] / 2, value.low, value.high))
                << what();
            if (width > 0) continue;
            ASSERT_TRUE(code.is_point() || std::isnan(code.low)) << what();
          }
        }
}

// A scale of 0 becomes 1, and what lies just above 0 has the smallest there is.
TEST(CodedGroup, KnowsScaleOne) {
  const Rule rule{.format = FormatId::e2m1, .scale = quant::ScaleFormat::e4m3};
  EXPECT_EQ(CodedGroup(rule, {0.0f, 0.001f}).scale().low, 1.0f);
  const Interval either = CodedGroup(rule, {0.005f, 0.007f}).scale();
  EXPECT_EQ(either.low, 0x1p-9f);
  EXPECT_EQ(either.high, 1.0f);
  const Interval above = CodedGroup(rule, {0.0f, 1000.0f}).scale();
  EXPECT_EQ(above.low, 0x1p-9f);
  EXPECT_GT(above.high, 100.0f);
}

}  // namespace
}  // namespace karat::bounds
