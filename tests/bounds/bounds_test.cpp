// Bounds: without freedom they are the golden values; with it every legal kernel is inside.
#include "karat/bounds/bounds.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "forward_presets.hpp"
#include "golden_run.hpp"
#include "karat/attention/predict.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "perturbed_kernel.hpp"
#include "random_head.hpp"

namespace karat::bounds {
namespace {

using attention::Flavour;

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}
void expect_same(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_TRUE(same(a[i], b[i])) << what << " " << i;
}

// The propagation repeats the engine's arithmetic: with no freedom low = golden = high, everywhere.
TEST(Bounds, WithoutFreedomTheyAreTheGoldenValues) {
  std::vector<recipe::Recipe> recipes;
  for (const std::string_view name : recipe::forward_presets())
    recipes.push_back(recipe::preset(name));
  for (const auto order : {recipe::RowSumOrder::wgmma_quad, recipe::RowSumOrder::sequential,
                           recipe::RowSumOrder::pairwise, recipe::RowSumOrder::packed_quad}) {
    recipe::Recipe& fused = recipes.emplace_back(recipe::preset("fa2_bf16"));
    fused.name = "fa2_bf16 fused_first " + std::to_string(static_cast<int>(order));
    fused.softmax.row_sum_order = order;
    fused.softmax.row_sum_start = recipe::RowSumStart::fused_first;
  }
  for (const recipe::Recipe& recipe : recipes) {
    if (!leaves_freedom(recipe)) continue;
    for (const Flavour flavour : attention::kFlavours) {
      SCOPED_TRACE(recipe.name + " flavour " + std::to_string(static_cast<int>(flavour)));
      const GoldenRun run(small(recipe), {5, 7, 6}, 32, flavour, 3);
      const HeadBounds bounds(run.recipe, run.layout, run.head, 1, kNoFreedom);
      for (const attention::BlockTap& tap : run.result.taps) {
        const BlockBounds block = bounds.of(tap, run.o(tap), run.lse(tap), Detail::stages);
        expect_same(block.p_low, tap.p, "p low");
        expect_same(block.p_high, tap.p, "p high");
        expect_same(block.l_low, tap.l, "l low");
        expect_same(block.l_high, tap.l, "l high");
        expect_same(block.o_low, tap.o, "o low");
        expect_same(block.o_high, tap.o, "o high");
        expect_same(block.out_low, run.o(tap), "out low");
        expect_same(block.out_high, run.o(tap), "out high");
        expect_same(block.lse_low, run.lse(tap), "lse low");
      }
    }
  }
}

class LegalKernels : public testing::TestWithParam<const char*> {};

// exp2 at the low end, at the high end, alternating, and at random: every stage lies inside.
TEST_P(LegalKernels, StayInside) {
  std::mt19937 random(11);
  std::int64_t flipped = 0, moved = 0, values = 0;
  double largest_share = 0;
  for (const Flavour flavour :
       {Flavour::normal, Flavour::ties, Flavour::tails, Flavour::one_hot, Flavour::zero_tiles}) {
    const GoldenRun run(small(recipe::preset(GetParam())), {6, 8, 9}, 32, flavour, 5);
    const HeadBounds bounds(run.recipe, run.layout, run.head);
    for (std::size_t t = 0; t < run.result.taps.size(); t += 3) {
      const attention::BlockTap& tap = run.result.taps[t];
      const BlockBounds block = bounds.of(tap, run.o(tap), run.lse(tap), Detail::stages);
      const std::size_t width = tap.key_position.size();
      for (std::size_t row = 0; row < 3; ++row)
        for (int kernel = 0; kernel < 6; ++kernel) {
          int turn = 0;
          const Exp2 exp2 = [&](float x) {
            const int choice = kernel == 0   ? -1
                               : kernel == 1 ? 1
                               : kernel == 2 ? (++turn % 2 ? 1 : -1)
                                             : static_cast<int>(random() % 3) - 1;
            return legal_exp2_at(x, choice);
          };
          const PerturbedRow made = run_row(run.recipe, run.layout, run.head, tap, row, exp2);
          for (std::size_t n = 0; n < width; ++n) {
            const std::size_t e = row * width + n;
            ASSERT_TRUE(inside(made.p[n], block.p_low[e], block.p_high[e])) << "p " << n;
            flipped += made.p[n] != tap.p[e];
          }
          ASSERT_TRUE(inside(made.l, block.row_l_low[row], block.row_l_high[row]));
          const double l = tap.l[(tap.key_block.size() - 1) *
                                     run.layout.blocks.query_blocks[tap.query_block].size() +
                                 row];
          largest_share = std::max(
              largest_share,
              std::abs(made.l - l) /
                  std::max<double>({block.row_l_high[row] - l, l - block.row_l_low[row], 1e-30}));
          for (std::size_t j = 0; j < 32; ++j) {
            const std::size_t e = row * 32 + j;
            ASSERT_TRUE(inside(made.out[j], block.out_low[e], block.out_high[e]))
                << "out " << j << ": " << made.out[j] << " not in " << block.out_low[e] << " .. "
                << block.out_high[e];
            moved += !same(made.out[j], run.o(tap)[e]);
            ++values;
          }
        }
    }
  }
  RecordProperty("codes_flipped", std::to_string(flipped));
  RecordProperty("outputs_moved", std::to_string(moved) + " of " + std::to_string(values));
  RecordProperty("largest_share_of_l_bound", std::to_string(largest_share));
  EXPECT_GT(flipped + moved, 0);  // the freedom is real
  EXPECT_GT(largest_share, 0.5);  // and the bound is not far from it
}

INSTANTIATE_TEST_SUITE_P(Presets, LegalKernels,
                         testing::Values("fpsattention", "sta_bf16", "dense_f32"));

// One accumulator over 54 key blocks: each visit adds to the range, none multiplies it.
TEST(Bounds, GrowSlowlyOverManyVisitsWithoutPromotion) {
  recipe::Recipe recipe = small(recipe::preset("fa2_bf16"));
  recipe.block.k = 8;
  const GoldenRun run(recipe, {6, 8, 9}, 32, Flavour::normal, 5);
  const HeadBounds bounds(run.recipe, run.layout, run.head);
  std::int64_t narrow = 0, all = 0;
  for (const attention::BlockTap& tap : run.result.taps) {
    ASSERT_EQ(tap.key_block.size(), 54u);
    const BlockBounds block = bounds.of(tap, run.o(tap), run.lse(tap), Detail::outputs);
    for (std::size_t e = 0; e < block.out_low.size(); ++e)
      narrow += block.out_high[e] - block.out_low[e] <= 0x1p-5f;
    all += static_cast<std::int64_t>(block.out_low.size());
  }
  EXPECT_EQ(narrow, all);
}

// The range is tight: most BF16 outputs leave room for no other value.
TEST(Bounds, AreTight) {
  const GoldenRun run(small(recipe::preset("fpsattention")), {6, 8, 9}, 32, Flavour::normal, 5);
  const HeadBounds bounds(run.recipe, run.layout, run.head);
  std::int64_t points = 0, all = 0;
  for (const attention::BlockTap& tap : run.result.taps) {
    const BlockBounds block = bounds.of(tap, run.o(tap), run.lse(tap), Detail::outputs);
    for (std::size_t e = 0; e < block.out_low.size(); ++e)
      points += same(block.out_low[e], block.out_high[e]);
    all += static_cast<std::int64_t>(block.out_low.size());
  }
  EXPECT_GT(static_cast<double>(points) / static_cast<double>(all), 0.98);
}

TEST(Inside, OrdersZerosAndKeepsNaNApart) {
  const float nan = std::nanf("");
  EXPECT_TRUE(inside(0.0f, 0.0f, 0.0f));
  EXPECT_FALSE(inside(-0.0f, 0.0f, 0.0f));
  EXPECT_TRUE(inside(-0.0f, -1.0f, 0.0f));
  EXPECT_FALSE(inside(std::nextafter(1.0f, 2.0f), -1.0f, 1.0f));
  EXPECT_FALSE(inside(nan, -1.0f, 1.0f));
  EXPECT_FALSE(inside(1.0f, nan, nan));
  EXPECT_TRUE(inside(nan, nan, nan));
}

}  // namespace
}  // namespace karat::bounds
