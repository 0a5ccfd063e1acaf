// The simulated SM: busy times equal operation counts, the tensor core serves one at a time, and
// the steady state is found.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "karat/numerics/base/error.hpp"
#include "sm/sm.hpp"
#include "tile_cost.hpp"

namespace karat::hopper {
namespace {

struct Case {
  const char* name;
  const char* gpu;
  PlanRequest request;
};

std::vector<Case> cases() {
  const PlanRequest bf16{.kernel = Kernel::fa3, .head_dim = 128};
  PlanRequest fp8 = bf16;
  fp8.qk = fp8.pv = Element::fp8;
  PlanRequest promoted = fp8;
  promoted.kernel = Kernel::fpsattention;
  promoted.promote_every = 128;
  PlanRequest sage = promoted;
  sage.kernel = Kernel::sage2;
  sage.qk = Element::int8;
  return {{"fa3 d64", "H100", {.kernel = Kernel::fa3, .head_dim = 64}},
          {"fa3 d128", "H100", bf16},
          {"fa3 d128 H20", "H20", bf16},
          {"fa3 fp8", "H100", fp8},
          {"fa2", "H100", {.kernel = Kernel::fa2, .head_dim = 128}},
          {"flex", "H100", {.kernel = Kernel::flex, .head_dim = 128}},
          {"sta", "H800", {.kernel = Kernel::sta, .head_dim = 128}},
          {"fpsattention", "H20", promoted},
          {"sage2", "H100", sage}};
}

TEST(Pipeline, BusyTimesEqualOperationCounts) {
  constexpr int kBlocks = 9, kTiles = 2;
  for (const Case& c : cases()) {
    const Machine m = machine(c.gpu);
    const Timing t;
    const Plan p = make_plan(c.request, m);
    std::vector<Slice> trace;
    const SmRun run = run_sm(m, t, p, {}, 1, std::vector<TileWork>{{kBlocks}, {kBlocks}}, &trace);
    std::array<double, kUnits> drawn{};
    for (const Slice& slice : trace) {
      if (slice.unit >= 0) drawn[slice.unit] += slice.end - slice.begin;
    }
    const double blocks = double(kBlocks) * kTiles;
    const double scores = double(p.block_q) * p.block_k * blocks;
    const double flop = 2 * scores * p.tile_dim;
    const auto rate = [&](Element e) {
      const double peak = e == Element::bf16 ? m.bf16_flop_per_clk : m.fp8_flop_per_clk;
      return p.matrix_path == MatrixPath::mma_sync ? peak * t.mma_sync_share : peak;
    };
    const auto busy = [&](UnitId u) { return drawn[static_cast<int>(u)]; };
    const auto near = [&](UnitId u, double expected) {
      EXPECT_NEAR(busy(u), expected, 1e-6 * expected)
          << c.name << " " << kUnitNames[static_cast<int>(u)];
      EXPECT_NEAR(run.busy[static_cast<int>(u)], busy(u), 1e-6 * expected) << c.name;
    };
    near(UnitId::tensor, flop / rate(p.qk) + flop / rate(p.pv));
    near(UnitId::mufu, scores / m.mufu_per_clk * t.mufu_clk_per_warp / 8);
    const double outputs = double(p.block_q) * p.tile_dim;
    const double promotions =
        p.promote_every > 0 ? std::ceil(double(p.block_k) / p.promote_every) : 0;
    const double fp32 = scores * (2 + p.extra_per_score) + outputs * (blocks - kTiles)  // rescales
                        + outputs * promotions * blocks + outputs * kTiles;
    near(UnitId::fp32, fp32 / m.fp32_per_clk);
    const double conversions = scores * (1 + p.score_conversions) + outputs * kTiles;
    near(UnitId::convert, conversions / m.conversions_per_clk);
  }
}

TEST(Pipeline, NoTwoShareATensorCoreSlot) {
  for (const Case& c : cases()) {
    const Machine m = machine(c.gpu);
    const Plan p = make_plan(c.request, m);
    std::vector<Slice> trace;
    run_sm(m, {}, p, {}, p.ctas_per_sm, std::vector<TileWork>{{7}, {5}, {6}}, &trace);
    for (int unit = 0; unit < kUnits; ++unit) {
      std::vector<std::pair<double, double>> slots;
      for (const Slice& slice : trace) {
        if (slice.unit == unit) slots.push_back({slice.begin, slice.end});
      }
      std::sort(slots.begin(), slots.end());
      for (std::size_t i = 1; i < slots.size(); ++i) {
        ASSERT_GE(slots[i].first, slots[i - 1].second - 1e-9) << c.name << " unit " << unit;
      }
    }
  }
}

TEST(Pipeline, EveryTileEnds) {
  for (const Case& c : cases()) {
    const Machine m = machine(c.gpu);
    const Plan p = make_plan(c.request, m);
    for (int blocks : {1, 2, 3}) {
      const SmRun run = run_sm(m, {}, p, {}, 1, std::vector<TileWork>{{blocks}, {1}, {blocks}});
      ASSERT_EQ(run.tile_end.size(), 3u) << c.name;
      EXPECT_TRUE(std::is_sorted(run.tile_end.begin(), run.tile_end.end()));
    }
  }
}

TEST(SteadyState, ExtendsTilesAsLongSimulationsDo) {
  for (const Case& c : cases()) {
    const Machine m = machine(c.gpu);
    const Timing t;
    const Plan p = make_plan(c.request, m);
    TileCosts costs(m, t, p, {}, 0);
    const SmRun run = run_sm(m, t, p, {}, 1, std::vector<TileWork>(3, {150}));
    const double simulated = (run.tile_end[2] - run.tile_end[0]) / 2;
    EXPECT_NEAR(costs.at(150, 1).next, simulated, 0.01 * simulated) << c.name;
  }
}

/// With one order of service, times are maxima of sums: nothing made faster delays anything, and a
/// latency changed by 1 % changes no time by more than 1 %.
TEST(Pipeline, IsMonotoneInEveryDuration) {
  for (const Case& c : cases()) {
    const Machine m = machine(c.gpu);
    const Plan p = make_plan(c.request, m);
    const std::vector<TileWork> tiles{{9}, {9}};
    const auto end = [&](const Machine& machine, const Timing& timing) {
      return run_sm(machine, timing, p, {}, p.ctas_per_sm, tiles).end;
    };
    const double before = end(m, {});
    for (double Machine::*rate :
         {&Machine::bf16_flop_per_clk, &Machine::fp8_flop_per_clk, &Machine::mufu_per_clk,
          &Machine::fp32_per_clk, &Machine::alu_per_clk, &Machine::conversions_per_clk,
          &Machine::smem_bytes_per_clk}) {
      Machine faster = m;
      faster.*rate *= 1.01;
      EXPECT_LE(end(faster, {}), before) << c.name;
      EXPECT_GE(end(faster, {}), before / 1.01 * (1 - 1e-12)) << c.name;
    }
    for (const TimingConstant& constant : timing_constants()) {
      if (constant.name == "mma_sync_share") continue;  // a rate
      Timing slower;
      slower.*constant.member *= 1.01;
      EXPECT_GE(end(m, slower), before) << c.name << " " << constant.name;
      EXPECT_LE(end(m, slower), 1.01 * before * (1 + 1e-12)) << c.name << " " << constant.name;
    }
  }
}

/// CTAs at random offsets: no slower than side by side, no faster than one hides in the other.
TEST(TileCosts, ResidentsHideEachOthersEnds) {
  const Machine m = machine("H20");
  const Plan p = make_plan({.kernel = Kernel::fa2, .head_dim = 128}, m);
  ASSERT_EQ(p.ctas_per_sm, 2);
  const Timing t;
  TileCosts costs(m, t, p, {}, 0);
  for (const int blocks : {1, 4, 16, 64, 256}) {
    const double alone = costs.at(blocks, 1).next - blocks * costs.steady(1);
    const double both = costs.at(blocks, 2).next;
    EXPECT_LE(both, alone + blocks * costs.steady(2)) << blocks;
    EXPECT_GE(both, std::max(costs.at(blocks, 1).next, blocks * costs.steady(2))) << blocks;
  }
}

}  // namespace
}  // namespace karat::hopper
