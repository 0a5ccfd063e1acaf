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
    const SmRun run = run_sm(m, t, p, {}, {{{kBlocks}, {kBlocks}}}, &trace);
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
    const std::vector<std::vector<TileWork>> tiles(p.ctas_per_sm, {{7}, {5}, {6}});
    run_sm(m, {}, p, {}, tiles, &trace);
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
      const SmRun run = run_sm(m, {}, p, {}, {{{blocks}, {1}, {blocks}}});
      ASSERT_EQ(run.tile_end[0].size(), 3u) << c.name;
      EXPECT_TRUE(std::is_sorted(run.tile_end[0].begin(), run.tile_end[0].end()));
    }
  }
}

TEST(SteadyState, FindsThePeriod) {
  std::vector<double> begins{0};
  const double steps[] = {70, 90, 110};  // period 3 after an irregular start
  for (int i = 0; i < 30; ++i) begins.push_back(begins.back() + (i < 7 ? 300 - i : steps[i % 3]));
  EXPECT_NEAR(steady_clocks(begins), 90, 1e-9);
}

TEST(SteadyState, ExtendsTilesAsLongSimulationsDo) {
  for (const Case& c : cases()) {
    const Machine m = machine(c.gpu);
    const Timing t;
    const Plan p = make_plan(c.request, m);
    if (p.ctas_per_sm > 1) continue;
    TileCosts costs(m, t, p, {}, 0);
    const SmRun run = run_sm(m, t, p, {}, {{{150}, {150}, {150}}});
    const double simulated = (run.tile_end[0][2] - run.tile_end[0][0]) / 2;
    EXPECT_NEAR(costs.at(150, 1).next, simulated, 0.01 * simulated) << c.name;
  }
}

}  // namespace
}  // namespace karat::hopper
