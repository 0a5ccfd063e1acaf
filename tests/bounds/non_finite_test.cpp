// Inf and NaN under the bounds: what a correct kernel writes stays legal, a finite value in its
// place does not.
#include "non_finite.hpp"

#include <gtest/gtest.h>

#include <random>

#include "golden_run.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "perturbed_kernel.hpp"

namespace karat::bounds {
namespace {

using attention::Flavour;

constexpr float kMost = std::numeric_limits<float>::max();
constexpr Interval kPlus{kInfinity, kInfinity}, kMinus{-kInfinity, -kInfinity}, kNo{kNan, kNan};
constexpr Interval kPlusOrNan{kInfinity, kNan}, kMinusOrNan{kNan, -kInfinity};

void expect_holds(Interval x, std::initializer_list<float> held,
                  std::initializer_list<float> not_held) {
  for (const float value : held) EXPECT_TRUE(inside(value, x.low, x.high)) << value;
  for (const float value : not_held) EXPECT_FALSE(inside(value, x.low, x.high)) << value;
}

TEST(NonFinite, AnEndThatIsNanHoldsNanBeyondTheNumbers) {
  expect_holds({1, 2}, {1, 2}, {0.5f, 3, kInfinity, kNan});
  expect_holds({1, kNan}, {1, kMost, kInfinity, kNan}, {0.5f, -kInfinity});
  expect_holds({kNan, 1}, {1, -kMost, -kInfinity, kNan}, {1.5f, kInfinity});
  expect_holds(kPlusOrNan, {kInfinity, kNan}, {kMost, -kInfinity});
  expect_holds(kNo, {kNan}, {0, kInfinity, -kInfinity});
  expect_holds(kAnything, {-kInfinity, -kMost, 0, kMost, kInfinity, kNan}, {});
}

TEST(NonFinite, SumsAndProductsHoldWhatTheirOperandsLeadTo) {
  const numerics::Fp32 fp;
  const float values[] = {-kInfinity, -kMost, -3, 0, 3, kMost, kInfinity, kNan};
  const Interval intervals[] = {
      {0, 3},      {-3, 3},   kPlus,          kMinus,          kNo,          kPlusOrNan,
      kMinusOrNan, kAnything, {3, kInfinity}, {-kInfinity, 0}, {kMost, kNan}};
  const Interval factors[] = {{0, 0}, {0, 0x1p-125f}, {0.5f, 1}, {1, 1}};
  for (const Interval a : intervals)
    for (const float x : values) {
      if (!inside(x, a.low, a.high)) continue;
      for (const Interval b : intervals)
        for (const float y : values) {
          const Interval sum = plus(fp, a, b);
          if (!inside(y, b.low, b.high)) continue;
          EXPECT_TRUE(inside(fp.add(x, y), sum.low, sum.high))
              << x << " + " << y << " not in " << sum.low << " .. " << sum.high;
        }
      for (const Interval f : factors)
        for (const float y : {f.low, f.high}) {
          const Interval product = times(fp, a, f);
          EXPECT_TRUE(inside(fp.multiply(x, y), product.low, product.high))
              << x << " * " << y << " not in " << product.low << " .. " << product.high;
        }
    }
  expect_holds(plus(fp, kPlus, {-kMost, kMost}), {kInfinity}, {kMost, kNan});
  expect_holds(plus(fp, kPlus, kMinus), {kNan}, {kInfinity, 0, -kInfinity});
  expect_holds(plus(fp, kPlusOrNan, kPlus), {kInfinity, kNan}, {kMost, -kInfinity});
  expect_holds(times(fp, kPlus, {0, 1}), {kInfinity, kNan}, {kMost, -kInfinity});
  expect_holds(times(fp, kMinus, {0.5f, 1}), {-kInfinity}, {-kMost, kNan});
}

TEST(NonFinite, ProductsWithInfiniteV) {
  // keys x channels: Inf in channel 0, both signs in 1, NaN in 2, numbers in 3
  const float v[] = {1, kInfinity, 2, 3, kInfinity, -kInfinity, kNan, 4, -5, 6, 7, 8};
  const numerics::MatrixView<const float> view = numerics::row_major<const float>(v, 3, 4);
  const auto products = [&](float low, float high, std::size_t channel) {
    const RowP p{.low = {}, .high = {}, .cast_low = {9, 1, low, 1}, .cast_high = {9, 1, high, 1}};
    return infinite_products(p, 1, view, channel);
  };
  expect_holds(*products(0.5f, 1, 0), {kInfinity}, {kMost, kNan});
  expect_holds(*products(0, 1, 0), {kInfinity, kNan}, {kMost});
  expect_holds(*products(0, 0, 0), {kNan}, {kInfinity});
  expect_holds(*products(1, 1, 1), {kNan}, {kInfinity, -kInfinity});
  expect_holds(*products(1, 1, 2), {kNan}, {kInfinity});
  EXPECT_FALSE(products(1, 1, 3).has_value());
}

TEST(NonFinite, SumsPastTheLargestNumber) {
  const SumRange f32(numerics::instruction("hopper.wgmma.bf16.f32"));
  expect_holds(f32.around(0x1p127, 0x1p127), {0x1p127f}, {kMost, kInfinity});
  expect_holds(f32.around(0x1p127, 0x1p128), {0x1p127f, kMost, kInfinity}, {kNan, 1});
  expect_holds(f32.around(0x1p128, 0x1p130), {kInfinity}, {kMost});
  expect_holds(f32.around(-0x1p130, -0x1p128), {-kInfinity}, {-kMost});
  const SumRange f16(numerics::instruction("ada.mma.e4m3.f16"));
  expect_holds(f16.around(65000, 65504), {65504}, {kInfinity});
  expect_holds(f16.around(65000, 65505), {65504, kInfinity}, {});
  expect_holds(f16.around(0x1p16, 0x1p17), {kInfinity}, {65504});
}

struct Planted {
  const char* preset;
  std::vector<std::pair<const char*, const char*>> edits;
  Freedom freedom;
  Flavour flavour;
};

/// Channels of V: 0 large in one key, 1 large everywhere, 2 large of either sign, others as drawn.
GoldenRun planted_run(const Planted& planted) {
  recipe::Recipe recipe = small(recipe::preset(planted.preset));
  for (const auto& [path, value] : planted.edits)
    recipe = recipe::edited(recipe, path, std::string(value));
  constexpr std::size_t kChannels = 8;
  const video::Extent3 grid{4, 6, 5};
  attention::RandomHead head = attention::random_head(grid, kChannels, planted.flavour, 5);
  const float large = recipe.v.format == numerics::FormatId::f16 ? 70000.0f : 3e38f;
  for (std::size_t token = 0; token < head.v.size() / kChannels; ++token) {
    float* v = &head.v[token * kChannels];
    if (token == 37) v[0] = large;
    v[1] = large;
    v[2] = token % 3 == 0 ? -large : large;
  }
  return GoldenRun(recipe, grid, kChannels, head);
}

class Infinities : public testing::TestWithParam<Planted> {};

TEST_P(Infinities, AreTheOnlyLegalValuesWhereTheyAreRight) {
  const GoldenRun run = planted_run(GetParam());
  const HeadBounds closed(run.recipe, run.layout, run.head, 1, kNoFreedom);
  const HeadBounds bounds(run.recipe, run.layout, run.head, 1, GetParam().freedom);
  std::mt19937 random(3);
  std::int64_t infinite = 0, not_numbers = 0;
  for (const attention::BlockTap& tap : run.result.taps) {
    const std::vector<float> golden = run.o(tap);
    const BlockBounds fixed = closed.of(tap, golden, run.lse(tap), Detail::outputs);
    const BlockBounds block = bounds.of(tap, golden, run.lse(tap), Detail::outputs);
    for (std::size_t e = 0; e < golden.size(); ++e) {
      const auto holds = [&](float x) { return inside(x, block.out_low[e], block.out_high[e]); };
      EXPECT_TRUE(holds(golden[e])) << e;
      EXPECT_TRUE(inside(golden[e], fixed.out_low[e], fixed.out_high[e])) << e;
      EXPECT_TRUE(is_single({fixed.out_low[e], fixed.out_high[e]})) << e;
      // Sums at the edge of the range, or of either sign, may be a number under another exp2.
      const bool certain = e % 8 != 2 && GetParam().flavour == Flavour::normal &&
                           GetParam().freedom.summation == Summation::fixed;
      infinite += std::isinf(golden[e]);
      not_numbers += std::isnan(golden[e]);
      if (std::isfinite(golden[e]) || !certain) continue;
      EXPECT_FALSE(holds(0) || holds(golden[e] > 0 ? -kInfinity : kInfinity)) << e;
    }
    for (std::size_t row = 0; row < golden.size() / 8; row += 5)
      for (int kernel = 0; kernel < 4; ++kernel) {
        const PerturbedRow made = run_row(run.recipe, run.layout, run.head, tap, row, [&](float x) {
          return legal_exp2_at(x, kernel < 3 ? kernel - 1 : static_cast<int>(random() % 3) - 1);
        });
        for (std::size_t j = 0; j < 8; ++j)
          EXPECT_TRUE(inside(made.out[j], block.out_low[row * 8 + j], block.out_high[row * 8 + j]))
              << tap.query_block << " " << row << " " << j << ": " << made.out[j] << " not in "
              << block.out_low[row * 8 + j] << " .. " << block.out_high[row * 8 + j];
      }
  }
  RecordProperty("infinite", std::to_string(infinite));
  RecordProperty("not_numbers", std::to_string(not_numbers));
  EXPECT_GT(infinite + not_numbers, 0);
}

/// Rows whose numbers are all finite take loops of their own. An Inf in one channel sends its rows
/// the general way, which must leave the other channels' bounds as they are.
TEST(NonFinite, AnInfiniteChannelLeavesTheOthersAsTheyAre) {
  constexpr video::Extent3 grid{4, 6, 7};
  constexpr std::size_t channels = 16;
  for (const int promote_every : {0, 32})
    for (const Flavour flavour : {Flavour::normal, Flavour::tails, Flavour::wide_range}) {
      recipe::Recipe recipe = small(recipe::preset("sta_bf16"));
      recipe.pv.promote_every = promote_every;
      attention::RandomHead values = attention::random_head(grid, channels, flavour, 5);
      for (std::size_t i = channels - 1; i < values.v.size(); i += channels) values.v[i] = 0;
      const GoldenRun finite(recipe, grid, channels, values);
      for (std::size_t i = channels - 1; i < values.v.size(); i += 16 * channels)
        values.v[i] = kInfinity;
      const GoldenRun infinite(recipe, grid, channels, values);
      const HeadBounds of_finite(finite.recipe, finite.layout, finite.head, 1);
      const HeadBounds of_infinite(infinite.recipe, infinite.layout, infinite.head, 1);
      std::size_t free = 0;
      for (std::size_t b = 0; b < finite.result.taps.size(); ++b) {
        const auto &tap = finite.result.taps[b], &other = infinite.result.taps[b];
        const BlockBounds x = of_finite.of(tap, finite.o(tap), finite.lse(tap), Detail::stages);
        const BlockBounds y =
            of_infinite.of(other, infinite.o(other), infinite.lse(other), Detail::stages);
        ASSERT_EQ(x.o_low.size(), y.o_low.size());
        for (std::size_t e = 0; e < x.o_low.size(); ++e) {
          if (e % channels == channels - 1) continue;
          ASSERT_EQ(x.o_low[e], y.o_low[e]) << promote_every << " element " << e;
          ASSERT_EQ(x.o_high[e], y.o_high[e]) << promote_every << " element " << e;
          free += x.o_low[e] != x.o_high[e];
        }
      }
      EXPECT_GT(free, 100u);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Recipes, Infinities,
    testing::Values(
        Planted{"sage1", {}, {}, Flavour::normal}, Planted{"sage1", {}, {}, Flavour::one_hot},
        Planted{"sta_bf16", {}, {}, Flavour::normal}, Planted{"sta_bf16", {}, {}, Flavour::one_hot},
        Planted{"sta_bf16", {{"output", "f16"}}, {}, Flavour::normal},
        Planted{"dense_f32", {}, {}, Flavour::normal},
        Planted{"fpsattention", {{"v.format", "f16"}, {"p.format", "f16"}}, {}, Flavour::normal},
        Planted{"sage1",
                {{"pv.instruction", "f32.fma"}},
                {.summation = Summation::any_order,
                 .contraction = Contraction::allowed,
                 .reciprocal_ulp = 1},
                Flavour::normal}));

}  // namespace
}  // namespace karat::bounds
