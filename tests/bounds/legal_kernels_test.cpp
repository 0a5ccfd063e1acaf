// Kernels that use what is free: without freedom they are the golden kernel, with it they stay
// inside the worst case and leave the golden bits.
#include "karat/bounds/legal_kernels.hpp"

#include <gtest/gtest.h>

#include "forward_presets.hpp"
#include "golden_run.hpp"
#include "karat/recipe/json.hpp"

namespace karat::bounds {
namespace {

using attention::Flavour;

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}
std::int64_t unlike(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  std::int64_t count = 0;
  for (std::size_t e = 0; e < std::min(a.size(), b.size()); ++e) count += !same(a[e], b[e]);
  return count;
}
std::int64_t outside(const std::vector<float>& values, const std::vector<float>& low,
                     const std::vector<float>& high) {
  EXPECT_EQ(values.size(), low.size());
  std::int64_t count = 0;
  for (std::size_t e = 0; e < low.size(); ++e) count += !inside(values[e], low[e], high[e]);
  return count;
}

void expect_golden(const recipe::Recipe& recipe) {
  const std::string& name = recipe.name;
  const GoldenRun run(small(recipe), {3, 5, 7}, 32, Flavour::normal, 3);
  const LegalKernels kernels(run.recipe, run.layout, run.head, kNoFreedom);
  for (const attention::BlockTap& tap : run.result.taps) {
    const LegalRows made = kernels.run(kLegalKernels[2], tap, Detail::stages);
    EXPECT_EQ(unlike(made.l_by_visit, tap.l), 0) << name;
    EXPECT_EQ(unlike(made.o_by_visit, tap.o), 0) << name;
    for (std::int64_t i = 0; i < tap.queries.size(); ++i) {
      const std::int32_t token = run.layout.order.token_at[tap.queries.begin + i];
      if (token < 0) continue;
      EXPECT_TRUE(same(made.l[i], run.result.l[token])) << name;
      EXPECT_TRUE(same(made.lse[i], run.result.lse[token])) << name;
      for (std::size_t j = 0; j < 32; ++j)
        EXPECT_TRUE(same(made.out[i * 32 + j], run.result.o[token * 32 + j])) << name;
    }
  }
}

TEST(LegalKernelRuns, WithoutFreedomAreTheGoldenKernel) {
  for (const std::string_view name : recipe::forward_presets()) {
    const recipe::Recipe recipe = recipe::preset(name);
    if (leaves_freedom(recipe) && !attention::depends_on_head(recipe)) expect_golden(recipe);
  }
  recipe::Recipe by_table = recipe::preset("fa3_fp8");
  by_table.softmax.exp2 = recipe::Exp2::mufu;
  expect_golden(by_table);
}

/// Every kernel of the row inside the worst case of `freedom`.
void expect_inside(const recipe::Recipe& recipe, Freedom freedom) {
  const std::string& name = recipe.name;
  const GoldenRun run(small(recipe), {3, 8, 9}, 32, Flavour::normal, 4);
  const LegalKernels kernels(run.recipe, run.layout, run.head, freedom);
  const HeadBounds bounds(run.recipe, run.layout, run.head, 0, freedom);
  std::int64_t moved = 0;
  for (const attention::BlockTap& tap : run.result.taps) {
    const BlockBounds block = bounds.of(tap, run.o(tap), run.lse(tap), Detail::stages);
    for (const LegalKernel& kernel : kLegalKernels) {
      const LegalRows made = kernels.run(kernel, tap, Detail::stages);
      EXPECT_EQ(outside(made.l, block.row_l_low, block.row_l_high), 0) << name;
      EXPECT_EQ(outside(made.lse, block.lse_low, block.lse_high), 0) << name;
      EXPECT_EQ(outside(made.out, block.out_low, block.out_high), 0) << name;
      EXPECT_EQ(outside(made.l_by_visit, block.l_low, block.l_high), 0) << name;
      EXPECT_EQ(outside(made.o_by_visit, block.o_low, block.o_high), 0) << name;
      moved += unlike(made.o_by_visit, tap.o);
    }
  }
  EXPECT_GT(moved, 0) << name;
}

TEST(LegalKernelRuns, StayInsideTheWorstCase) {
  Freedom all;
  all.summation = Summation::any_order;
  all.contraction = Contraction::allowed;
  all.reciprocal_ulp = 1;
  for (const char* name : {"fpsattention", "fa3_fp8", "sta_bf16", "sage2pp", "dense_f32",
                           "attn_qat_nvfp4", "sage_bwd_int8"}) {
    expect_inside(recipe::preset(name), {});
    expect_inside(recipe::preset(name), all);
  }
  recipe::Recipe by_table = recipe::preset("fa3_fp8");
  by_table.softmax.exp2 = recipe::Exp2::mufu;
  expect_inside(by_table, {});
  recipe::Recipe by_rows = recipe::preset("dense_f32");
  by_rows.p = {.format = numerics::FormatId::e4m3, .group = recipe::Group::token};
  by_rows.pv.promote_every = 32;
  expect_inside(by_rows, {});
  expect_inside(by_rows, all);
}

TEST(LegalKernelRuns, AreAFunctionOfTheSeed) {
  const GoldenRun run(small(recipe::preset("fa3_fp8")), {3, 8, 9}, 32, Flavour::normal, 4);
  const LegalKernels kernels(run.recipe, run.layout, run.head, {});
  const attention::BlockTap& tap = run.result.taps.front();
  const auto l = [&](std::uint32_t seed) {
    return kernels.run({Errs::at_random, seed}, tap, Detail::outputs).l;
  };
  EXPECT_EQ(l(7), l(7));
  EXPECT_NE(l(7), l(8));
}

}  // namespace
}  // namespace karat::bounds
