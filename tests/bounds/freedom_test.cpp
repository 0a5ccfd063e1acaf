// Kernels with their own order of sums, fused multiply-adds and an approximate reciprocal stay
// inside the bounds of the freedom they use, and leave those of a smaller one.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "any_order.hpp"
#include "free_kernel.hpp"
#include "golden_run.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::bounds {
namespace {

using attention::Flavour;

Freedom everything() {
  return {
      .summation = Summation::any_order, .contraction = Contraction::allowed, .reciprocal_ulp = 1};
}

struct Seen {
  std::int64_t kernels = 0, values = 0, outside = 0, unlikely = 0;
  double l_share = 0, out_share = 0, l_likely = 0, out_likely = 0;  ///< of the bound, largest

  void note(float value, float golden, float low, float high, double& share) {
    ++values;
    outside += !inside(value, low, high);
    if (value != golden && std::isfinite(value))
      share =
          std::max(share, std::abs(static_cast<double>(value) - golden) /
                              std::abs(static_cast<double>(value > golden ? high : low) - golden));
  }
};

/// As the recipe has it; subnormal results do not occur here.
float own_exp2(const recipe::Recipe& recipe, float x) {
  return is_mufu(recipe.softmax.exp2) ? numerics::ex2_approx_ftz(x) : numerics::exp2_rounded(x);
}

/// Every kernel of `freedom` against the bounds of `judged`, and against their likely form.
Seen sample(const char* preset, std::initializer_list<Flavour> flavours, const Freedom& freedom,
            const Freedom& judged, int kernels = 12) {
  std::mt19937 random(17);
  Seen seen;
  for (const Flavour flavour : flavours) {
    const GoldenRun run(small(recipe::preset(preset)), {6, 8, 9}, 32, flavour, 5);
    const HeadBounds worst(run.recipe, run.layout, run.head, 1, judged);
    Freedom probable = judged;
    if (judged.summation == Summation::any_order) probable.summation = Summation::likely;
    const HeadBounds likely(run.recipe, run.layout, run.head, 1, probable);
    for (std::size_t t = 0; t < run.result.taps.size(); t += 3) {
      const attention::BlockTap& tap = run.result.taps[t];
      const std::vector<float> o = run.o(tap);
      const BlockBounds bound = worst.of(tap, o, run.lse(tap), Detail::outputs);
      const BlockBounds usual = likely.of(tap, o, run.lse(tap), Detail::outputs);
      const auto rows = static_cast<std::size_t>(tap.queries.size());
      for (std::size_t row = 0; row < 3; ++row)
        for (int kernel = 0; kernel < kernels; ++kernel) {
          const Liberties liberties{.exp2 =
                                        [&](float x) {
                                          return freedom.low == freedom.high
                                                     ? own_exp2(run.recipe, x)
                                                     : legal_exp2_at(
                                                           x, static_cast<int>(random() % 3) - 1);
                                        },
                                    .freedom = freedom,
                                    .walk = static_cast<Walk>(kernel % 3),
                                    .partial_sums = kernel % 6 < 3 ? 1u : 32u};
          const PerturbedRow made =
              run_free_row(run.recipe, run.layout, run.head, tap, row, liberties, random);
          const float l = tap.l[(tap.key_block.size() - 1) * rows + row];
          ++seen.kernels;
          seen.note(made.l, l, bound.row_l_low[row], bound.row_l_high[row], seen.l_share);
          Seen other;
          other.note(made.l, l, usual.row_l_low[row], usual.row_l_high[row], other.l_share);
          for (std::size_t j = 0; j < 32; ++j) {
            const std::size_t e = row * 32 + j;
            seen.note(made.out[j], o[e], bound.out_low[e], bound.out_high[e], seen.out_share);
            other.note(made.out[j], o[e], usual.out_low[e], usual.out_high[e], other.out_share);
          }
          seen.unlikely += other.outside;
          seen.l_likely = std::max(seen.l_likely, other.l_share);
          seen.out_likely = std::max(seen.out_likely, other.out_share);
        }
    }
  }
  return seen;
}

void record(const Seen& seen) {
  char text[160];
  std::snprintf(text, sizeof text, "l %.3f (likely %.3f), o %.3f (likely %.3f), %lld kernels",
                seen.l_share, seen.l_likely, seen.out_share, seen.out_likely,
                static_cast<long long>(seen.kernels));
  testing::Test::RecordProperty("largest_share_of_bound", text);
  if (std::getenv("KARAT_LONG")) std::printf("%s\n", text);
}

class FreeKernels : public testing::TestWithParam<const char*> {};

TEST_P(FreeKernels, StayInside) {
  const Seen seen = sample(
      GetParam(),
      {Flavour::normal, Flavour::ties, Flavour::tails, Flavour::one_hot, Flavour::zero_tiles},
      everything(), everything());
  record(seen);
  EXPECT_GT(seen.kernels, 1000);
  EXPECT_EQ(seen.outside, 0);
  EXPECT_EQ(seen.unlikely, 0);
}

// The order alone, exp2 as it is: what the sums' own bound is worth.
TEST_P(FreeKernels, OfAnotherOrderAlone) {
  const Freedom order{.low = 1, .high = 1, .summation = Summation::any_order};
  const Seen seen = sample(GetParam(), {Flavour::normal, Flavour::tails}, order, order);
  record(seen);
  EXPECT_EQ(seen.outside, 0);
  EXPECT_EQ(seen.unlikely, 0);
  EXPECT_GT(seen.l_likely, 0.02);
}

// Each liberty is needed: kernels that take it leave the bounds that do not know it.
TEST_P(FreeKernels, LeaveBoundsThatForbidThem) {
  const Freedom none = kNoFreedom;
  const Freedom order{.low = 1, .high = 1, .summation = Summation::any_order};
  const Freedom reciprocal{.low = 1, .high = 1, .reciprocal_ulp = 1};
  EXPECT_GT(sample(GetParam(), {Flavour::normal}, order, none, 3).outside, 0);
  if (recipe::preset(GetParam()).output == numerics::FormatId::f32) {  // BF16 hides an ulp of r
    EXPECT_GT(sample(GetParam(), {Flavour::normal}, reciprocal, none, 3).outside, 0);
  }
}

TEST_P(FreeKernels, ThatTakeOneLibertyStayInsideItsBounds) {
  for (const Freedom& freedom :
       {Freedom{.low = 1, .high = 1, .contraction = Contraction::allowed},
        Freedom{.contraction = Contraction::allowed}, Freedom{.reciprocal_ulp = 1},
        Freedom{.low = 1, .high = 1, .reciprocal_ulp = 1}})
    EXPECT_EQ(sample(GetParam(), {Flavour::normal, Flavour::tails}, freedom, freedom, 4).outside,
              0);
}

INSTANTIATE_TEST_SUITE_P(Presets, FreeKernels,
                         testing::Values("fpsattention", "sta_bf16", "dense_f32"));

// gamma_n against sums built to err one way: 1 + n * (just above half an ulp of what is there).
TEST(RoundingShare, CoversSumsThatAlwaysRoundUp) {
  float sum = 1.0f;
  double exact = 1.0;
  const int n = 4096;
  for (int i = 0; i < n; ++i) {
    const float term = std::ldexp(1.0f, std::ilogb(sum) - 24) * 1.0001f;
    sum += term;
    exact += term;
  }
  const double error = std::abs(sum - exact) / exact;
  EXPECT_LT(error, rounding_share(Summation::any_order, n));
  EXPECT_GT(error, 0.5 * rounding_share(Summation::any_order, n));
  EXPECT_GT(error, rounding_share(Summation::likely, n));  // no such luck is likely
}

TEST(RoundingShare, GrowsWithTheRootWhereRoundingsAreRandom) {
  EXPECT_NEAR(rounding_share(Summation::any_order, 10000) / 0x1p-24, 10000, 10);
  EXPECT_NEAR(rounding_share(Summation::likely, 10000) / 0x1p-24, 538.7, 0.1);
}

// An exact 2^x is no f32: the ranges of what else is free hold the golden values all the same.
TEST(Freedom, HoldsTheGoldenValuesOfAnExactExp2) {
  recipe::Recipe recipe = small(recipe::preset("dense_f32"));
  recipe.softmax.exp2 = recipe::Exp2::exact;
  const GoldenRun run(recipe, {6, 8, 9}, 32, Flavour::normal, 5);
  Freedom fused = kNoFreedom;
  fused.contraction = Contraction::allowed;
  const HeadBounds bounds(run.recipe, run.layout, run.head, 1, fused);
  for (const attention::BlockTap& tap : run.result.taps) {
    const std::vector<float> o = run.o(tap);
    const BlockBounds all = bounds.of(tap, o, run.lse(tap), Detail::outputs);  // or it throws
    for (std::size_t e = 0; e < o.size(); ++e)
      ASSERT_TRUE(inside(o[e], all.out_low[e], all.out_high[e])) << e;
  }
}

}  // namespace
}  // namespace karat::bounds
