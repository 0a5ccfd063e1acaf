// The backward engine against gradients that were computed another way.
#include <gtest/gtest.h>

#include <numeric>

#include "backward_case.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::attention {
namespace {

using numerics::Path;

std::vector<std::int32_t> tokens_of(const BackwardCase& c) {
  std::vector<std::int32_t> all(c.layout->order.position_of.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// Relative L2 distance.
double distance(const std::vector<float>& x, const std::vector<double>& truth) {
  EXPECT_EQ(x.size(), truth.size());
  double difference = 0, size = 0;
  for (std::size_t e = 0; e < truth.size(); ++e) {
    difference += (x[e] - truth[e]) * (x[e] - truth[e]);
    size += truth[e] * truth[e];
  }
  return std::sqrt(difference / size);
}

/// dq of each head, and dk, dv summed over heads, in f64.
struct Truth {
  std::vector<std::vector<double>> dq;
  std::vector<double> dk, dv;
};
Truth truth_of(const BackwardCase& c) {
  Truth truth;
  const auto all = tokens_of(c);
  for (std::size_t h = 0; h < c.heads.size(); ++h) {
    const auto g =
        oracle_gradients(*c.layout, c.inputs[h].input(), c.d_o[h], all, all, OracleMask::sparse, 1);
    truth.dq.push_back(g.dq);
    truth.dk.resize(g.dk.size());
    truth.dv.resize(g.dv.size());
    for (std::size_t e = 0; e < g.dk.size(); ++e) {
      truth.dk[e] += g.dk[e];
      truth.dv[e] += g.dv[e];
    }
  }
  return truth;
}

void expect_near(const BackwardCase& c, double bound, const std::string& name) {
  const BackwardResult result = c.run(Path::scalar, 2);
  const Truth truth = truth_of(c);
  for (std::size_t h = 0; h < c.heads.size(); ++h)
    EXPECT_LT(distance(result.dq[h], truth.dq[h]), bound) << name << " dq of head " << h;
  EXPECT_LT(distance(result.dk, truth.dk), bound) << name << " dk";
  EXPECT_LT(distance(result.dv, truth.dv), bound) << name << " dv";
}

/// A backward in f32 that rounds nothing else.
recipe::Recipe plain_backward(const char* name, recipe::BackwardLoop loop) {
  recipe::Recipe recipe = small_preset(name);
  recipe.backward.loop = loop;
  recipe.backward.output = numerics::FormatId::f32;
  return recipe;
}

TEST(BackwardEngine, InF32EqualsTheOracleUpToRounding) {
  const layout::Setting setting{.grid = {3, 4, 5}, .channels = 24, .text = 3};
  for (const auto loop : {recipe::BackwardLoop::key_blocks, recipe::BackwardLoop::two_kernels}) {
    recipe::Recipe recipe = plain_backward("dense_f32", loop);
    expect_near({recipe, setting, Flavour::normal, 1}, 1e-6, "dense");
    expect_near({recipe, setting, Flavour::normal, 2, 3}, 1e-6, "three heads");
    expect_near({recipe, setting, Flavour::normal, 3, 2, Rows::some_without_keys}, 1e-6, "holes");
    recipe.mask.causal = recipe::Causal::on;
    recipe.backward.block_q = 7;
    recipe.backward.block_k = 9;
    expect_near({recipe, setting, Flavour::normal, 4}, 1e-6, "causal");
    recipe.backward.promote = recipe::Promote::block;
    recipe.backward.head_sum = recipe::HeadSum::add;
    recipe.backward.softmax_scale = recipe::SoftmaxScale::ds;
    recipe.backward.delta_sum = recipe::DeltaSum::pairwise;
    recipe.backward.exponent = recipe::PExponent::fused;
    recipe.backward.scores = recipe::BackwardScores::operands;
    recipe.backward.query_order = recipe.backward.key_order = recipe::BlockOrder::descending;
    expect_near({recipe, setting, Flavour::normal, 5, 2}, 1e-6, "other choices");
  }
}

TEST(BackwardEngine, SmoothingLeavesTheGradientsAsTheyAre) {
  recipe::Recipe recipe = plain_backward("dense_f32", recipe::BackwardLoop::two_kernels);
  recipe.k.smooth = recipe::Smooth::mean;
  recipe.k.smooth_mean = recipe::SmoothMean::f32;
  recipe.backward.ds = {.format = numerics::FormatId::bf16};
  const layout::Setting setting{.grid = {2, 3, 6}, .channels = 16};
  expect_near({recipe, setting, Flavour::normal, 8}, 1e-2, "smoothed");
}

/// Distances far above each recipe's own rounding, far below what a wrong operand would leave.
TEST(BackwardEngine, EveryPresetComesNearTheOracle) {
  const layout::Setting setting{.grid = {3, 5, 6}, .channels = 32};
  unsigned seed = 20;
  for (const std::string& name : backward_presets()) {
    const recipe::Recipe recipe = small_preset(name);
    expect_near({recipe, setting, Flavour::normal, ++seed, 2}, 0.25, name);
  }
}

TEST(BackwardEngine, RowsWithoutKeysHaveNoGradient) {
  recipe::Recipe recipe = small_preset("fps_qat_fp8");
  recipe.finish.fully_masked = recipe::FullyMasked::nan;
  const BackwardCase c(recipe, {.grid = {3, 5, 6}, .channels = 16}, Flavour::normal, 3, 1,
                       Rows::some_without_keys);
  const BackwardResult result = c.run(Path::scalar);
  int without = 0;
  for (std::size_t token = 0; token < c.forward[0].lse.size(); ++token) {
    if (!std::isinf(c.forward[0].lse[token])) continue;
    ++without;
    EXPECT_EQ(result.delta[0][token], 0.0f);
    for (std::size_t j = 0; j < 16; ++j) EXPECT_EQ(result.dq[0][token * 16 + j], 0.0f);
  }
  EXPECT_GT(without, 10);
  for (const float x : result.dk) EXPECT_TRUE(std::isfinite(x));
  for (const float x : result.dv) EXPECT_TRUE(std::isfinite(x));
}

// Query taps are the first head's; a key block's go on from head to head.
TEST(BackwardEngine, TapsAreOfTheHeadsTheyName) {
  const recipe::Recipe recipe = small_preset("fps_qat_fp8");
  const BackwardCase c(recipe, {.grid = {2, 3, 6}, .channels = 16}, Flavour::normal, 3, 2);
  BackwardCase first = c;
  first.heads.resize(1);
  for (const Path path : {Path::scalar, Path::fast}) {
    const BackwardResult two = c.run(path), one = first.run(path);
    ASSERT_EQ(two.query_taps.size(), one.query_taps.size());
    for (std::size_t t = 0; t < one.query_taps.size(); ++t) {
      EXPECT_EQ(two.query_taps[t].ds, one.query_taps[t].ds);
      EXPECT_EQ(two.query_taps[t].dq, one.query_taps[t].dq);
    }
    for (std::size_t t = 0; t < one.key_taps.size(); ++t) {
      const auto &dv = two.key_taps[t].dv, &before = one.key_taps[t].dv;
      ASSERT_EQ(dv.size(), 2 * before.size());
      EXPECT_TRUE(std::equal(before.begin(), before.end(), dv.begin()));
    }
  }
}

// What a kernel that gets d^-1/2 or 2^x wrong computes.
TEST(BackwardEngine, PlantedErrorsDoWhatTheySay) {
  recipe::Recipe recipe = plain_backward("dense_f32", recipe::BackwardLoop::two_kernels);
  const BackwardCase c(recipe, {.grid = {2, 3, 4}, .channels = 16}, Flavour::normal, 3);
  const BackwardResult right = c.run(Path::fast);
  BackwardOptions options;
  options.errors = {.exp2 = [](float, float p) { return 2 * p; }, .dq_roots = 2, .dk_roots = 0};
  const BackwardResult wrong = attend_backward(recipe, *c.layout, c.backward_heads(), options);
  for (std::size_t e = 0; e < right.dv.size(); ++e) {
    EXPECT_EQ(wrong.dv[e], 2 * right.dv[e]);        // twice P
    EXPECT_EQ(wrong.dq[0][e], right.dq[0][e] / 2);  // and d^-1/2 = 1/4 once more
    EXPECT_EQ(wrong.dk[e], 8 * right.dk[e]);        // and not at all
  }
}

TEST(BackwardEngine, RefusesWhatItCannotPlace) {
  recipe::Recipe recipe = small_preset("fps_ste_bf16");
  const BackwardCase c(recipe, {.grid = {2, 3, 6}, .channels = 16}, Flavour::normal, 3);
  const auto run = [&](const recipe::Recipe& r, BackwardOptions options = {}) {
    attend_backward(r, *c.layout, c.backward_heads(), options);
  };
  run(recipe);
  EXPECT_THROW(run(recipe, {.query_blocks = std::vector{99}}), Error);
  EXPECT_THROW(run(recipe, {.tapped_keys = {-1}}), Error);
  EXPECT_THROW(run(recipe::preset("dense_f32")), Error) << "no backward";
  recipe.backward.delta = recipe::Delta::unquantised_p;
  EXPECT_THROW(run(recipe), Error) << "no output of an uncoded P";
  recipe = c.recipe;
  recipe.backward.promote = recipe::Promote::block;
  recipe.backward.q = recipe::Source::codes;
  recipe.backward.block_q = 40;  // straddles scale tiles
  recipe.block.align = video::Align::sequence;
  EXPECT_THROW(run(recipe), Error);
}

}  // namespace
}  // namespace karat::attention
