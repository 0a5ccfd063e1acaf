// Recipes become plans, work is counted with the mask layer, runs add up, and the FLOP formula
// gives the published totals.
#include "karat/hopper/cost.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "karat/hopper/around.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::hopper {
namespace {

Question ask(const char* recipe, const char* gpu, const char* model, const char* resolution) {
  const video::Model& m = video::find_model(model);
  Question q;
  q.recipe = recipe::load_recipe(recipe);
  q.machine = machine(gpu);
  return ask_model(q, m, video::token_grid(m, video::find_resolution(m, resolution)));
}

TEST(Cost, RecipesImplyTheirKernels) {
  struct Row {
    const char* recipe;
    Kernel kernel;
  };
  for (const Row& row :
       {Row{"fa3_bf16", Kernel::fa3}, Row{"fa3_fp8", Kernel::fa3}, Row{"fa2_bf16", Kernel::fa2},
        Row{"sta_bf16", Kernel::sta}, Row{"flex_bf16", Kernel::flex},
        Row{"attn_qat_fp8", Kernel::fpsattention}, Row{"sage2_sm90", Kernel::sage2},
        Row{"fpsattention", Kernel::fpsattention}}) {
    EXPECT_EQ(implied_kernel(recipe::load_recipe(row.recipe)), row.kernel) << row.recipe;
  }
  EXPECT_THROW(implied_kernel(recipe::load_recipe("dense_f32")), Error);
}

TEST(Cost, WindowWorkCountsPaddedBlocks) {
  // 36x48x48 divides by (6,8,8): every tile of 384 tokens is 3 query blocks of 128 and 3 key
  // blocks of 128, and sees 27 tiles.
  Question q;
  q.recipe = recipe::load_recipe("fpsattention");
  q.machine = machine("H20");
  q.grid = video::Extent3{36, 48, 48};
  q.shape = {.heads = 2, .queries = 36 * 48 * 48, .keys = 36 * 48 * 48, .head_dim = 128};
  const Plan plan = plan_of(q);
  ASSERT_EQ(plan.block_q, 128);
  const MaskedWork masked = work_of(q, plan);
  ASSERT_EQ(masked.work.head.size(), 1u);
  EXPECT_EQ(masked.work.head[0].tiles, 216 * 3);
  EXPECT_EQ(masked.work.head[0].blocks, 27 * 3);
  EXPECT_EQ(masked.work.head[0].masked_share, 0);
  EXPECT_EQ(masked.kept_pairs, 216.0 * 384 * 27 * 384);
  EXPECT_EQ(masked.padded_pairs, masked.kept_pairs);
}

TEST(Cost, TextJoinsImageTokens) {
  Question q = ask("sta_bf16", "H100", "hunyuanvideo", "768p");
  EXPECT_EQ(q.shape.queries, 115200 + 256);
  const Plan plan = plan_of(q);
  const MaskedWork masked = work_of(q, plan);
  EXPECT_EQ(masked.work.head.front().blocks, 27 * 3 + 2);  // two blocks of text keys
  EXPECT_EQ(masked.work.head.back().blocks, 115200 / 128 + 2);
}

TEST(Cost, ShapesThatDisagreeAreRefused) {
  Question q = ask("sta_bf16", "H100", "wan2.1-14b", "720p");
  q.shape.queries = q.shape.keys = 1000;
  EXPECT_THROW(work_of(q, plan_of(q)), Error);
  q.grid.reset();
  EXPECT_THROW(work_of(q, plan_of(q)), Error);
}

/// --causal beside a window takes the keys behind a query away, as the recipe's own field does, and
/// text is seen by text alone.
TEST(Cost, ACausalWindowKeepsTheKeysBefore) {
  for (const int text : {0, 200}) {
    Question q;
    q.recipe = recipe::load_recipe("sta_bf16");
    q.machine = machine("H100");
    q.grid = video::Extent3{12, 48, 48};
    q.text_tokens = text;
    q.shape = {.heads = 4, .head_dim = 128};
    q.shape.queries = q.shape.keys = q.grid->volume() + text;
    const AttentionCost all = attention_cost(q, Detail::time);
    Question own = q;
    own.recipe.mask.causal = recipe::Causal::on;
    q.shape.causality = Causality::causal;
    const AttentionCost flag = attention_cost(q, Detail::time);
    const AttentionCost field = attention_cost(own, Detail::time);
    EXPECT_EQ(flag.time_ms, field.time_ms);
    EXPECT_EQ(flag.speedup, field.speedup);
    EXPECT_LT(flag.time_ms, 0.8 * all.time_ms);
    EXPECT_LT(flag.dense_bf16_ms, 0.7 * all.dense_bf16_ms);
    const auto mask = layout::arrange(own.recipe.mask, {.grid = *q.grid, .text = text}).mask;
    EXPECT_EQ(work_of(q, plan_of(q)).kept_pairs, static_cast<double>(mask->kept_pairs()));
    q.recipe.backward.loop = recipe::BackwardLoop::key_blocks;
    for (const Plan& plan :
         make_backward_plans(Kernel::fa3, 128, Causality::causal, BlockLists::read, q.machine)) {
      ASSERT_TRUE(plan.keys_outside());
      const MaskedWork masked = work_of(q, plan);
      EXPECT_GE(masked.padded_pairs, masked.kept_pairs);
      EXPECT_LT(masked.padded_pairs, 1.4 * masked.kept_pairs);
    }
  }
}

TEST(Cost, DenseAnswerAddsUp) {
  Question q;
  q.recipe = recipe::load_recipe("fa3_bf16");
  q.machine = machine("H100");
  q.shape = {.batch = 2, .heads = 16, .queries = 16384, .keys = 16384, .head_dim = 128};
  const AttentionCost cost = attention_cost(q, Detail::bounds);
  EXPECT_NEAR(cost.speedup, 1, 1e-12);
  EXPECT_NEAR(cost.tflops * cost.time_ms, 4.0 * 128 * 16384 * 16384 * 32 * 1e-9,
              1e-6 * cost.tflops);
  EXPECT_EQ(cost.density, 1);
  EXPECT_GE(cost.padded_tflops, cost.tflops);
  ASSERT_EQ(cost.savings.size(), std::size_t{kParts});
  for (const Saving& saving : cost.savings) {
    EXPECT_GE(saving.ms, 0);
    EXPECT_LT(saving.ms, cost.time_ms);
  }
  EXPECT_GT(cost.savings.front().ms, cost.savings.back().ms);
}

TEST(Cost, SparsityPaysAlmostInFullOnTheH20) {
  const AttentionCost h20 =
      attention_cost(ask("sta_bf16", "H20", "wan2.1-14b", "720p"), Detail::time);
  EXPECT_NEAR(h20.speedup * h20.padded_density, 1, 0.06);
  const AttentionCost fp8 =
      attention_cost(ask("fpsattention", "H20", "wan2.1-14b", "720p"), Detail::time);
  EXPECT_GT(fp8.speedup, 1.7 * h20.speedup);
}

TEST(Flop, FormulaGivesThePublishedTotals) {
  const video::Model& wan = video::find_model("wan2.1-14b");
  EXPECT_NEAR(100 * forward_flop(wan, 32760) * 1e-15, 167.8, 0.05);
  EXPECT_NEAR(100 * forward_flop(wan, 75600) * 1e-15, 652.3, 0.05);
  EXPECT_NEAR(attention_flop(wan, 75600) * 1e-15, 4.682, 0.001);
  EXPECT_NEAR(linear_flop(wan, 32760) * 1e-15, 0.785 + 0.014, 0.002);  // with the cross attention
}

TEST(Around, Fp8HalvesWhatIsHeld) {
  const double bf16 = held_bytes(ask("fa3_bf16", "H100", "wan2.1-14b", "480p"));
  const double fp8 = held_bytes(ask("fa3_fp8", "H100", "wan2.1-14b", "480p"));
  EXPECT_NEAR(fp8 / bf16, (3 * 1 + 2) / 8.0, 1e-12);  // O stays BF16
  EXPECT_EQ(around_attention(ask("fa3_fp8", "H100", "wan2.1-14b", "480p")).size(), 3u);
  EXPECT_TRUE(around_attention(ask("fa3_bf16", "H100", "wan2.1-14b", "480p")).empty());
}

TEST(Run, PartsAddUpAndAmdahlHolds) {
  const video::Model& wan = video::find_model("wan2.1-14b");
  const video::Extent3 grid = video::token_grid(wan, video::find_resolution(wan, "720p"));
  const Question q = ask("fpsattention", "H20", "wan2.1-14b", "720p");
  RunRequest request{.model = &wan, .grid = grid};
  const RunTime all = run_time(q, request);
  EXPECT_NEAR(all.forward_ms,
              all.attention_ms + all.around_ms + all.cross_ms + all.linear_ms + all.exchange_ms +
                  all.rest_ms + all.gap_ms,
              1e-6 * all.forward_ms);
  EXPECT_LT(all.speedup, all.ceiling);
  EXPECT_EQ(all.exchange_ms, 0);
  EXPECT_NEAR(all.total_s, all.run_s + request.outside_share * all.dense_run_s, 1e-9 * all.run_s);
  EXPECT_NEAR(all.run_s, all.forward_ms * 100 * 1e-3, 1e-6 * all.run_s);
  request.dense_steps = 50;
  EXPECT_NEAR(run_time(q, request).speedup, 1, 1e-12);
  request.dense_steps = 0;
  request.gpus = 8;
  const RunTime eight = run_time(q, request);
  EXPECT_LT(eight.forward_ms, all.forward_ms / 6);
  EXPECT_GT(eight.exchange_ms, 0);
  request.gpus = 41;
  EXPECT_THROW(run_time(q, request), Error);
}

TEST(Run, LinearLayersNeverBeatThePeak) {
  for (const char* gpu : {"H100", "H20"}) {
    const Machine m = machine(gpu);
    const double ms = linear_ms(m, LinearFormat::bf16, 75600, 5120, 5120);
    EXPECT_LT(2.0 * 75600 * 5120 * 5120 / ms * 1e-9, m.bf16_peak_tflops()) << gpu;
  }
}

}  // namespace
}  // namespace karat::hopper
