// The backward's operations by hand, on numbers and on intervals, and the output of an uncoded P.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backward_case.hpp"
#include "karat/attention/operations/backward.hpp"
#include "karat/attention/operations/gradient.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::attention {
namespace {

using numerics::Interval;
using numerics::Path;
using recipe::DeltaSum;

recipe::Recipe f32_recipe() {
  recipe::Recipe recipe = recipe::preset("dense_f32");
  recipe.backward.loop = recipe::BackwardLoop::two_kernels;
  return recipe;
}

TEST(BackwardOperations, DeltaSumsInItsOrder) {
  recipe::Recipe recipe = f32_recipe();
  const BackwardKernel kernel(recipe, 3);
  const float e = 0x1p-24f;  // half a unit in the last place of 1
  const std::vector<float> o{1, e, e}, d_o{1, 1, 1};
  const auto sum = [&] { return sum_of_products<float>(kernel, o, d_o); };
  EXPECT_EQ(sum(), 1.0f) << "1 + e is 1, twice";
  recipe.backward.delta_sum = DeltaSum::pairwise;
  EXPECT_EQ(sum(), 1.0f) << "(1 + e) + (e + 0)";
  const std::vector<float> last{e, e, 1};
  EXPECT_EQ(sum_of_products<float>(kernel, last, d_o), 1 + 2 * e) << "(e + e) + (1 + 0)";
  // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: the product alone rounds the last term away.
  const float x = 1 + 0x1p-12f;
  const std::vector<float> a{-1, x}, b{1, x};
  recipe.backward.delta_sum = DeltaSum::sequential;
  EXPECT_EQ(sum_of_products<float>(kernel, a, b), 0x1p-11f);
  recipe.backward.delta_sum = DeltaSum::fused;
  EXPECT_EQ(sum_of_products<float>(kernel, a, b), 0x1p-11f + 0x1p-24f);
}

TEST(BackwardOperations, ExponentsFollowTheScaleOrder) {
  recipe::Recipe recipe = f32_recipe();
  recipe.qk.scale_order = recipe::ScaleOrder::scaled_then_fused;
  const float a = 123.4f, s_q = 0.013f, s_k = 0.37f, l = 1.7f;
  const BackwardKernel kernel(recipe, 24);
  const float scale = s_q * s_k, c = kernel.c;
  EXPECT_EQ(backward_score(kernel, a, s_q, s_k), (a * scale) * c);
  EXPECT_EQ(backward_exponent(kernel, a, s_q, s_k, l), (a * scale) * c - l);
  recipe.backward.exponent = recipe::PExponent::fused;
  EXPECT_EQ(backward_exponent(kernel, a, s_q, s_k, l), std::fma(a * scale, c, -l));
  recipe.backward.scores = recipe::BackwardScores::operands;
  EXPECT_EQ(backward_exponent(kernel, a, s_q, s_k, l), std::fma(a, scale * c, -l));
  EXPECT_EQ(backward_score(kernel, a, s_q, s_k), a * (scale * c));
  EXPECT_EQ(log2_of(kernel, 3.0f), 3.0f * 1.44269504f);
  EXPECT_EQ(of_smoothed(kernel, 5.0f, 2.0),
            5.0f - static_cast<float>(2.0 * 1.4426950408889634 / std::sqrt(24.0)));
}

// Bounds run the same operations on intervals: each contains what the numbers inside it give.
TEST(BackwardOperations, IntervalsContainTheirNumbers) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  recipe::Recipe recipe = f32_recipe();
  for (const DeltaSum order : {DeltaSum::sequential, DeltaSum::fused, DeltaSum::pairwise})
    for (const auto scale : {recipe::SoftmaxScale::end, recipe::SoftmaxScale::ds}) {
      recipe.backward.delta_sum = order;
      recipe.backward.softmax_scale = scale;
      const BackwardKernel kernel(recipe, 16);
      for (int turn = 0; turn < 200; ++turn) {
        std::vector<float> o(7), d_o(7);
        std::vector<Interval> wide;
        for (std::size_t j = 0; j < o.size(); ++j) {
          o[j] = normal(random);
          d_o[j] = normal(random);
          wide.push_back({o[j] - 0.01f, o[j] + 0.02f});
        }
        const float delta = sum_of_products<float>(kernel, o, d_o);
        const auto around = sum_of_products<Interval>(kernel, wide, d_o);
        EXPECT_LE(around.low, delta);
        EXPECT_GE(around.high, delta);
        EXPECT_LT(around.low, around.high);
        const float p = std::abs(normal(random)), dp = normal(random);
        const float ds = score_gradient<float>(kernel, p, dp, delta);
        const auto all = score_gradient<Interval>(kernel, {p, p + 0.1f}, {dp - 0.1f, dp}, around);
        EXPECT_LE(all.low, ds);
        EXPECT_GE(all.high, ds);
        const std::vector<float> mean{normal(random)}, factor{0.3f};
        const GradientTerms terms{.factor = factor, .ds_sum = 0.7f, .mean = mean, .roots = 1};
        std::vector<float> row{ds};
        std::vector<Interval> rows{all};
        complete_row<float>(kernel, row, terms);
        complete_row<Interval>(kernel, rows, terms);
        EXPECT_LE(rows[0].low, row[0]);
        EXPECT_GE(rows[0].high, row[0]);
      }
    }
}

TEST(UnquantisedP, IsTheForwardOfTheDequantisedV) {
  for (const char* name : {"fps_qat_fp8", "attn_qat_fp8"}) {
    const BackwardCase c(small_preset(name), {.grid = {3, 5, 6}, .channels = 16}, Flavour::normal,
                         4);
    recipe::Recipe plain = c.recipe;
    plain.backward = {};
    plain.p = {.format = numerics::FormatId::bf16, .overflow = numerics::Overflow::infinity};
    plain.v = {.format = numerics::FormatId::bf16, .overflow = numerics::Overflow::infinity};
    plain.pv = {.instruction = "hopper.wgmma.bf16.f32"};
    EXPECT_TRUE(recipe::problems(unquantised_p(c.recipe)).empty());
    RandomHead dequantised = c.inputs[0];
    const quant::Quantised& v = c.heads[0].v;
    for (std::size_t i = 0; i < v.rows; ++i)
      for (std::size_t j = 0; j < v.channels; ++j)
        dequantised.v[static_cast<std::size_t>(c.layout->key_order.token_at[i]) * v.channels + j] =
            v.values[i * v.channels + j] * v.scale(i, j);
    const QuantisedHead head = quantise_head(plain, *c.layout, dequantised.input(), Path::scalar);
    const HeadResult forward = attend(plain, *c.layout, head, {.path = Path::scalar});
    EXPECT_EQ(c.unquantised[0], forward.o) << name;
    EXPECT_NE(c.unquantised[0], c.forward[0].o) << name << ": P is coded there";
    EXPECT_EQ(c.forward[0].lse, forward.lse) << name << ": everything before P is the same";
  }
}

}  // namespace
}  // namespace karat::attention
