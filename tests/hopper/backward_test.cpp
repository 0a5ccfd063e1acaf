// Backward kernels: tiles, operation counts, work seen from the keys, what is refused, and the laws
// that the forward keeps too.
#include "karat/hopper/backward.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "karat/hopper/around.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "sm/sm.hpp"
#include "supply.hpp"

namespace karat::hopper {
namespace {

using testing::HasSubstr;

Plan first_plan(Kernel kernel, int dim, Causality causality = Causality::none) {
  return make_backward_plans(kernel, dim, causality, BlockLists::read, machine("H100")).front();
}

TEST(BackwardPlan, HasThePublishedTiles) {
  struct Row {
    Kernel kernel;
    int dim, q, k;
  };
  for (const Row& row : {Row{Kernel::fa3, 64, 128, 128}, Row{Kernel::fa3, 96, 64, 128},
                         Row{Kernel::fa3, 128, 80, 128}, Row{Kernel::fa3, 192, 64, 96},
                         Row{Kernel::fa3, 256, 64, 80}, Row{Kernel::fa2, 64, 128, 128},
                         Row{Kernel::fa2, 128, 64, 128}, Row{Kernel::fa2, 256, 64, 64},
                         Row{Kernel::flex, 32, 64, 64}, Row{Kernel::flex, 64, 64, 128},
                         Row{Kernel::flex, 128, 64, 128}, Row{Kernel::flex, 192, 64, 64}}) {
    const Plan plan = first_plan(row.kernel, row.dim);
    EXPECT_EQ(plan.block_q, row.q) << row.dim;
    EXPECT_EQ(plan.block_k, row.k) << row.dim;
    EXPECT_TRUE(plan.keys_outside());
  }
  EXPECT_EQ(first_plan(Kernel::fa3, 128, Causality::causal).block_q, 64);
  EXPECT_THROW(first_plan(Kernel::sage2, 128), Error);
  EXPECT_THROW(first_plan(Kernel::fa3, 257), Error);
}

/// Products of M N d multiply-adds: five, four and three.
TEST(BackwardPipeline, BusyTimesEqualOperationCounts) {
  const Machine m = machine("H100");
  for (const Kernel kernel : {Kernel::fa3, Kernel::flex}) {
    for (const Plan& plan :
         make_backward_plans(kernel, 128, Causality::none, BlockLists::read, m)) {
      constexpr int kBlocks = 9;
      const std::vector<TileWork> tiles{{kBlocks, 0}};
      const SmRun run = run_sm(m, {}, plan, {}, 1, tiles);
      const double scores = double(plan.block_q) * plan.block_k * kBlocks;
      const double products = plan.pass == Pass::gradients ? 5 : plan.keys_outside() ? 4 : 3;
      const auto busy = [&](UnitId unit) { return run.busy[static_cast<int>(unit)]; };
      EXPECT_NEAR(busy(UnitId::tensor), products * 2 * scores * 128 / 4096, 1e-6 * scores);
      EXPECT_NEAR(busy(UnitId::mufu), scores / 16 * Timing{}.mufu_clk_per_warp / 8, 1e-6 * scores);
      EXPECT_GT(run.end, busy(UnitId::tensor));
      // S, P, dS and the products after them follow one another: no full overlap.
      EXPECT_LT(busy(UnitId::tensor) / run.end, 0.85);
    }
  }
}

double blocks_of(const Question& q, const Plan& plan) {
  double sum = 0;
  for (const TileRun& run : work_of(q, plan).work.head) sum += double(run.tiles) * run.blocks;
  return sum;
}

/// The same 64 x 64 blocks counted by keys and by queries.
TEST(BackwardWork, IsTheSameFromBothSides) {
  const auto plans =
      make_backward_plans(Kernel::flex, 192, Causality::none, BlockLists::read, machine("H100"));
  ASSERT_EQ(plans.size(), 2u);
  ASSERT_NE(plans[0].keys_outside(), plans[1].keys_outside());
  Question window{.recipe = recipe::load_recipe("flex_bf16"), .machine = machine("H100")};
  window.grid = video::Extent3{7, 20, 30};
  window.shape = {.heads = 2, .queries = 4200, .keys = 4200, .head_dim = 192};
  Question causal{.recipe = recipe::load_recipe("fa3_bf16"), .machine = machine("H100")};
  causal.shape = {.queries = 1000, .keys = 1500, .head_dim = 192, .causality = Causality::causal};
  for (const Question& q : {window, causal}) {
    EXPECT_EQ(blocks_of(q, plans[0]), blocks_of(q, plans[1]));
    EXPECT_EQ(work_of(q, plans[0]).padded_pairs, work_of(q, plans[1]).padded_pairs);
    EXPECT_LT(blocks_of(q, plans[0]), 0.9 * 66 * 66);
  }
}

Question long_head(const char* recipe, const char* gpu = "H100") {
  Question q{.recipe = recipe::load_recipe(recipe), .machine = machine(gpu)};
  q.grid = video::Extent3{21, 30, 52};
  q.shape = {.heads = 12, .queries = 32760, .keys = 32760, .head_dim = 128};
  return q;
}

TEST(BackwardCost, RecipesImplyTheirKernels) {
  EXPECT_EQ(backward_kernel(long_head("fa3_bf16")), Kernel::fa3);
  EXPECT_EQ(backward_kernel(long_head("te_delayed")), Kernel::fa3);
  for (const char* recipe : {"flex_bf16", "fps_ste_bf16", "fps_qat_fp8", "attn_qat_fp8"})
    EXPECT_EQ(backward_kernel(long_head(recipe)), Kernel::flex) << recipe;
  const auto problem = [](Question q, std::optional<Kernel> kernel) -> std::string {
    q.kernel = kernel;
    try {
      backward_cost(q, Detail::time);
    } catch (const Error& error) {
      return error.what();
    }
    return "answered";
  };
  EXPECT_THAT(problem(long_head("sta_bf16"), {}), HasSubstr("has no backward"));
  EXPECT_THAT(problem(long_head("cudnn_fp8_hopper"), {}), HasSubstr("multiplies codes"));
  EXPECT_THAT(problem(long_head("fa3_bf16"), Kernel::sage2), HasSubstr("has no backward"));
  EXPECT_EQ(problem(long_head("fa3_bf16"), Kernel::fa2), "answered");
}

TEST(BackwardCost, AddsUpAndFollowsTheForward) {
  for (const char* gpu : {"H100", "H20"}) {
    const Question q = long_head("fa3_bf16", gpu);
    const BackwardCost back = backward_cost(q, Detail::bounds);
    double sum = 0;
    for (const BackwardKernel& kernel : back.kernels) sum += kernel.ms;
    EXPECT_NEAR(sum, back.time_ms, 1e-9 * sum);
    EXPECT_NEAR(back.tflops * back.time_ms, 10.0 * 128 * 32760 * 32760 * 12 * 1e-9,
                1e-6 * back.tflops);
    ASSERT_EQ(back.savings.size(), std::size_t{kParts});
    // Five products instead of two, and less overlap.
    const double ratio = back.time_ms / attention_ms(q);
    EXPECT_GT(ratio, 2.4) << gpu;
    EXPECT_LT(ratio, 4) << gpu;
  }
  // A calibrated board's clock counts, the forward's factors do not.
  Question slow = long_head("fa3_bf16");
  const double before = backward_cost(slow, Detail::time).kernels[1].ms;
  slow.machine.calibration = Calibration{.clock = 0.8, .factors = {{.kernel = "fa3", .factor = 3}}};
  EXPECT_NEAR(backward_cost(slow, Detail::time).kernels[1].ms / before, 1.25, 0.001);
  // The second kernel computes S and dP again.
  EXPECT_GT(backward_cost(long_head("fps_ste_bf16"), Detail::time).kernels.size(), 5u);
  const double dense = backward_cost(long_head("fa3_bf16", "H20"), Detail::time).time_ms;
  const double sparse = backward_cost(long_head("fps_ste_bf16", "H20"), Detail::time).time_ms;
  EXPECT_LT(sparse, dense);
}

TEST(BackwardCost, AnIterationAddsUp) {
  const video::Model& wan = video::find_model("wan2.1-1.3b");
  const video::Extent3 grid = video::token_grid(wan, video::find_resolution(wan, "480p"));
  Question q{.recipe = recipe::load_recipe("fa3_bf16"), .machine = machine("H100")};
  RunRequest request{.model = &wan, .grid = grid};
  const IterationTime t = iteration_time(q, request);
  EXPECT_NEAR(t.attention_ms + t.cross_ms + t.linear_ms + t.rest_ms + t.gap_ms, t.backward_ms,
              1e-9 * t.backward_ms);
  EXPECT_NEAR(t.forward_ms + t.backward_ms, t.iteration_ms, 1e-9 * t.iteration_ms);
  EXPECT_NEAR(t.forward_ms, run_time(q, request).forward_ms, 1e-9 * t.forward_ms);
  request.gpus = 2;
  EXPECT_THROW(iteration_time(q, request), Error);
}

/// The laws of robust_test.cpp for backward kernels, on 60 settings.
TEST(BackwardLaws, FasterPartsAndLessWorkNeverCost) {
  std::mt19937 random(7);
  const auto draw = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> boards = machine_names();
  for (int i = 0; i < 60; ++i) {
    const Machine board = machine(boards[draw(static_cast<int>(boards.size()))]);
    constexpr Kernel kKernels[] = {Kernel::fa2, Kernel::fa3, Kernel::flex};
    constexpr int kDims[] = {64, 80, 96, 128, 192, 256};
    const Kernel kernel = kKernels[draw(3)];
    const int dim = kDims[draw(6)];
    const Causality causality = draw(3) == 0 ? Causality::causal : Causality::none;
    const std::int64_t tokens = 64 + draw(1 << (9 + draw(8)));
    Shape shape{.batch = 1 + draw(3),
                .heads = 1 + draw(30),
                .queries = tokens,
                .keys = tokens,
                .head_dim = dim,
                .causality = causality};
    const auto us = [&](const Machine& m, const Timing& t, const Shape& s) {
      double sum = 0;
      for (const Plan& p : make_backward_plans(kernel, dim, causality, BlockLists::read, m))
        sum += launch_time(m, t, p, s, dense(p, s)).us;
      return sum;
    };
    const double before = us(board, {}, shape);
    for (double Machine::*part :
         {&Machine::bf16_flop_per_clk, &Machine::mufu_per_clk, &Machine::fp32_per_clk,
          &Machine::smem_bytes_per_clk, &Machine::l2_gb_per_s, &Machine::hbm_gb_per_s}) {
      Machine faster = board;
      faster.*part *= 1.2;
      EXPECT_LE(us(faster, {}, shape), 1.003 * before) << i;
    }
    Shape more = shape;
    more.queries = more.keys = tokens * 13 / 10;
    EXPECT_GE(us(board, {}, more), 0.99 * before) << i;
    more = shape, ++more.heads;
    EXPECT_GE(us(board, {}, more), 0.99 * before) << i;
    for (const TimingConstant& constant : timing_constants()) {
      Timing t;
      t.*constant.member *= 1.02;
      EXPECT_LE(std::abs(us(board, t, shape) / before - 1), 0.0205) << i << " " << constant.name;
    }
    EXPECT_LE(us(machine("H200"), {}, shape), 1.0001 * us(machine("H100"), {}, shape)) << i;
  }
}

}  // namespace
}  // namespace karat::hopper
