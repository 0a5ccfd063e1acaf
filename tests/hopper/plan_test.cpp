// Plans: published tiles, what fits, what is refused, splits, and work per query tile.
#include "karat/hopper/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

using testing::HasSubstr;

TEST(Plan, HasThePublishedTiles) {
  struct Row {
    Element element;
    int dim, q, k, warpgroups;
  };
  for (const Row& row : {Row{Element::bf16, 64, 192, 192, 3}, Row{Element::bf16, 72, 192, 144, 3},
                         Row{Element::bf16, 96, 192, 144, 3}, Row{Element::bf16, 128, 128, 176, 2},
                         Row{Element::bf16, 192, 128, 112, 2}, Row{Element::bf16, 256, 128, 80, 2},
                         Row{Element::fp8, 64, 192, 160, 3}, Row{Element::fp8, 96, 192, 128, 3},
                         Row{Element::fp8, 128, 128, 224, 2}, Row{Element::fp8, 192, 128, 160, 2},
                         Row{Element::fp8, 256, 128, 128, 2}}) {
    const Plan plan = make_plan(
        {.kernel = Kernel::fa3, .head_dim = row.dim, .qk = row.element, .pv = row.element},
        machine("H100"));
    EXPECT_EQ(plan.block_q, row.q) << row.dim;
    EXPECT_EQ(plan.block_k, row.k) << row.dim;
    EXPECT_EQ(plan.warpgroups, row.warpgroups) << row.dim;
    EXPECT_EQ(plan.ctas_per_sm, 1) << row.dim;
    EXPECT_LE(plan.smem_bytes, 227 * 1024) << row.dim;
  }
  const Plan causal = make_plan({.head_dim = 128, .causality = Causality::causal}, machine("H100"));
  EXPECT_EQ(causal.block_k, 128);
  EXPECT_EQ(causal.dispatch, Dispatch::dynamic);
  const Plan sta = make_plan({.kernel = Kernel::sta, .head_dim = 128}, machine("H100"));
  EXPECT_EQ(sta.block_q, 192);
  EXPECT_EQ(sta.block_k, 128);
  EXPECT_EQ(sta.residency, Residency::one_per_tile);
}

std::string refusal(const PlanRequest& request) {
  try {
    make_plan(request, machine("H100"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "accepted";
}

TEST(Plan, RefusesWhatDoesNotFit) {
  EXPECT_THAT(refusal({.head_dim = 128, .block_k = 256}), HasSubstr("registers per thread"));
  EXPECT_THAT(refusal({.head_dim = 256, .block_k = 96}), HasSubstr("KiB of shared memory"));
  EXPECT_THAT(refusal({.head_dim = 512}), HasSubstr("head_dim: 512 has no tile"));
  EXPECT_THAT(refusal({.head_dim = 0}), HasSubstr("head_dim"));
  EXPECT_THAT(refusal({.kernel = Kernel::fa2, .qk = Element::fp8, .pv = Element::fp8}),
              HasSubstr("has no form with 8-bit V"));
  EXPECT_THROW(parse_kernel("fa4"), Error);
  EXPECT_EQ(parse_kernel("FA-3"), Kernel::fa3);
}

TEST(Plan, SplitsKeysWhenQueryTilesAreFew) {
  EXPECT_EQ(choose_splits(106, 100, 132), 1);  // 0.8 of the SMs
  EXPECT_EQ(choose_splits(10, 4, 132), 1);     // too few key blocks
  EXPECT_EQ(choose_splits(66, 57, 132), 2);
  EXPECT_GT(choose_splits(6, 57, 132), 15);
  for (int tiles = 1; tiles < 106; ++tiles) {
    EXPECT_LE(choose_splits(tiles, 12, 132), 12);
  }
}

/// Rows of 1024 tokens at d = 80 are 6 query tiles and 8 key blocks a head.
TEST(Plan, VaryingLengthsAllowSplitsBySequenceAndTakeThemByBatch) {
  PlanRequest request{.head_dim = 80, .lengths = Lengths::varying, .splits = Splits::heuristic};
  const auto splits = [&](int batch, int heads, std::int64_t tokens, int kv_heads = 0) {
    const Shape shape{.batch = batch,
                      .heads = heads,
                      .kv_heads = kv_heads,
                      .queries = tokens,
                      .keys = tokens,
                      .head_dim = 80};
    const KeySplits found = key_splits(make_plan(request, machine("H100")), shape, 132);
    return std::pair(found.most, found.taken);
  };
  EXPECT_EQ(splits(64, 14, 1024), std::pair(3, 1));       // 84 tiles a sequence, 5376 in the batch
  EXPECT_EQ(splits(8, 2, 1024), std::pair(7, 2));         // 12; 7 blocks an SM
  EXPECT_EQ(splits(64, 32, 1024), std::pair(1, 1));       // 192 tiles a sequence
  EXPECT_EQ(splits(64, 5, 400), std::pair(1, 1));         // 3 key blocks
  EXPECT_EQ(splits(8, 16, 1024, 2), splits(8, 2, 8192));  // heads of a group fill one head's tiles
  // K and V of a head beyond 50 MiB, and queries for two rounds of all SMs.
  EXPECT_EQ(splits(1, 4, 160000), std::pair(1, 1));
  EXPECT_EQ(splits(1, 4, 170000), std::pair(2, 1));
  // Without a kernel in front every tile takes what the host allows, of the whole batch.
  request.lengths = Lengths::fixed;
  EXPECT_EQ(splits(64, 14, 1024), std::pair(1, 1));
  EXPECT_EQ(splits(8, 2, 1024), std::pair(4, 4));
  request.splits = Splits::never;
  EXPECT_EQ(splits(8, 2, 1024), std::pair(1, 1));
}

/// The kernel behind a launch that may divide keys runs even where nobody does.
TEST(Plan, CombiningCtasAreCountedByRowsAndChannels) {
  const auto ctas = [](int dim) {
    const Shape shape{.batch = 3, .heads = 2, .queries = 100, .keys = 100, .head_dim = dim};
    return combine_ctas(make_plan({.head_dim = dim}, machine("H100")), shape);
  };
  EXPECT_EQ(ctas(64), 3 * 13);  // 16 rows of 64 channels
  EXPECT_EQ(ctas(80), 3 * 25);  // 8 of 128
  EXPECT_EQ(ctas(192), 6 * 25);
}

/// nvcc 13.0, sm_90a, no spills: 167 registers at d = 128, 128 at d = 64.
TEST(Plan, RegistersAreThoseOfTheCompiledKernel) {
  struct Row {
    int dim, compiled, ctas;
  };
  for (const Row& row : {Row{128, 167, 3}, Row{64, 128, 4}}) {
    const Plan plan = make_plan({.kernel = Kernel::sage2,
                                 .head_dim = row.dim,
                                 .qk = Element::int8,
                                 .pv = Element::fp8,
                                 .promote_every = 128},
                                machine("H100"));
    EXPECT_NEAR(plan.registers_per_thread, row.compiled, 8) << row.dim;
    EXPECT_EQ(plan.ctas_per_sm, row.ctas) << row.dim;
  }
}

TEST(Plan, TheFirstReleaseOfFlashAttention3HadOtherTiles) {
  const auto plan = [](int dim, Element element, Causality causality) {
    return make_plan({.kernel = parse_kernel("fa3-2024"),
                      .head_dim = dim,
                      .qk = element,
                      .pv = element,
                      .causality = causality},
                     machine("H100"));
  };
  EXPECT_EQ(plan(64, Element::bf16, Causality::none).block_k, 128);
  EXPECT_EQ(plan(128, Element::fp8, Causality::none).block_k, 256);
  EXPECT_EQ(plan(128, Element::fp8, Causality::none).overlap, Overlap::none);
  EXPECT_EQ(plan(128, Element::bf16, Causality::none).overlap, Overlap::previous_pv);
  EXPECT_EQ(plan(128, Element::bf16, Causality::causal).order, TileOrder::heads_in_turn);
  EXPECT_EQ(parse_kernel("fa3-2025"), Kernel::fa3);
  EXPECT_EQ(kernel_name(Kernel::fa3_2024), "fa3-2024");
}

TEST(Plan, EveryKernelTakesHeadDimensionsUpTo256) {
  for (const Kernel kernel :
       {Kernel::fa2, Kernel::fa3, Kernel::fa3_2024, Kernel::sta, Kernel::flex}) {
    for (const int dim : {64, 80, 96, 128, 160, 192, 256}) {
      EXPECT_GE(make_plan({.kernel = kernel, .head_dim = dim}, machine("H100")).tile_dim, dim);
    }
  }
}

TEST(Plan, ClustersOfTwoShareLoads) {
  const Machine m = machine("H100");
  EXPECT_EQ(make_plan({.head_dim = 128}, m).multicast, Multicast::pairs);
  EXPECT_EQ(make_plan({.head_dim = 64}, m).multicast, Multicast::none);
  EXPECT_EQ(make_plan({.head_dim = 128, .lengths = Lengths::varying}, m).multicast,
            Multicast::none);
  EXPECT_EQ(make_plan({.head_dim = 128, .causality = Causality::causal}, m).multicast,
            Multicast::none);
}

TEST(Plan, LongCausalHeadsKeepTheirBlocksInFewRuns) {
  const Plan plan = make_plan({.head_dim = 128, .causality = Causality::causal}, machine("H100"));
  const std::int64_t tiles = 50000;
  const Shape shape{
      .queries = tiles * 128, .keys = tiles * 128, .head_dim = 128, .causality = Causality::causal};
  const std::vector<TileRun> runs = dense_work(plan, shape);
  EXPECT_LE(runs.size(), 8192u);
  std::int64_t count = 0, blocks = 0;
  for (const TileRun& run : runs) count += run.tiles, blocks += run.tiles * run.blocks;
  EXPECT_EQ(count, tiles);
  EXPECT_EQ(blocks, tiles * (tiles + 1) / 2);
}

TEST(Plan, KeyHeadsDivideHeads) {
  EXPECT_NO_THROW(validate({.heads = 40, .kv_heads = 8, .queries = 5, .keys = 5}));
  EXPECT_THROW(validate({.heads = 40, .kv_heads = 7, .queries = 5, .keys = 5}), Error);
}

TEST(Plan, CountsPaddedBlocksOfDenseAndCausalWork) {
  const Plan plan = make_plan({.head_dim = 128}, machine("H100"));
  const auto dense = dense_work(plan, {.queries = 75600, .keys = 75600, .head_dim = 128});
  ASSERT_EQ(dense.size(), 1u);
  EXPECT_EQ(dense[0].tiles, 591);   // ceil(75600 / 128)
  EXPECT_EQ(dense[0].blocks, 430);  // ceil(75600 / 176)
  const Plan causal = make_plan({.head_dim = 128, .causality = Causality::causal}, machine("H100"));
  const Shape shape{.queries = 1000, .keys = 1000, .head_dim = 128, .causality = Causality::causal};
  std::vector<int> blocks;
  for (const TileRun& run : dense_work(causal, shape)) blocks.push_back(run.blocks);
  EXPECT_EQ(blocks, (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(Plan, ShapesAreCheckedByField) {
  EXPECT_THROW(validate({.queries = 0, .keys = 5}), Error);
  EXPECT_THROW(validate({.heads = -1, .queries = 5, .keys = 5}), Error);
  EXPECT_NO_THROW(validate({.queries = 5, .keys = 5}));
}

}  // namespace
}  // namespace karat::hopper
