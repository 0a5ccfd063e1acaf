// Laws the time model keeps whatever its constants: more work or less hardware never helps, waves
// step at multiples of the SM count, and each GPU is bound by what its figures say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {
namespace {

double time_us(const Machine& m, const PlanRequest& request, const Shape& shape) {
  const Plan plan = make_plan(request, m);
  return launch_time(m, {}, plan, shape, dense(plan, shape)).us;
}

Shape shape_of(std::int64_t tokens, int heads = 8, int dim = 128) {
  return {.heads = heads, .queries = tokens, .keys = tokens, .head_dim = dim};
}

PlanRequest fp8() {
  return {.kernel = Kernel::fa3, .head_dim = 128, .qk = Element::fp8, .pv = Element::fp8};
}

TEST(Laws, MoreWorkIsNeverFaster) {
  for (const char* gpu : {"H100", "H20"}) {
    for (const PlanRequest& request : {PlanRequest{.head_dim = 64}, PlanRequest{}, fp8()}) {
      double before = 0;
      for (std::int64_t tokens = 2048; tokens < 20000; tokens = tokens * 9 / 8) {
        const double us = time_us(machine(gpu), request, shape_of(tokens, 12, request.head_dim));
        EXPECT_GE(us, 0.99 * before) << gpu << " " << request.head_dim << " " << tokens;
        before = us;
      }
      before = 0;
      for (int heads = 4; heads < 60; heads += 3) {
        const double us = time_us(machine(gpu), request, shape_of(6144, heads, request.head_dim));
        EXPECT_GE(us, 0.99 * before) << gpu << " " << request.head_dim << " heads " << heads;
        before = us;
      }
    }
  }
}

TEST(Laws, MoreBlocksPerTileIsNeverFaster) {
  for (const char* gpu : {"H100", "H20"}) {
    for (const PlanRequest& request :
         {PlanRequest{.head_dim = 64}, PlanRequest{}, fp8(), PlanRequest{.kernel = Kernel::flex},
          PlanRequest{.kernel = Kernel::sta}, PlanRequest{.kernel = Kernel::fa2}}) {
      const Machine m = machine(gpu);
      const Plan plan = make_plan(request, m);
      const Shape shape = shape_of(40960, 4, request.head_dim);
      double before = 0;
      for (int blocks = 1; blocks < 200; blocks += blocks < 40 ? 1 : 13) {
        Work work{.head = {{300, blocks, 0}}, .copies = 4, .listed = true};
        const double us = launch_time(m, {}, plan, shape, work).us;
        EXPECT_GE(us, 0.99 * before) << gpu << " " << kernel_name(request.kernel) << " " << blocks;
        before = us;
      }
    }
  }
}

TEST(Laws, LessHardwareIsNeverFaster) {
  struct Knob {
    const char* name;
    double Machine::*member;
  };
  for (const Knob& knob :
       {Knob{"hbm", &Machine::hbm_gb_per_s}, Knob{"l2", &Machine::l2_gb_per_s},
        Knob{"bf16", &Machine::bf16_flop_per_clk}, Knob{"fp8", &Machine::fp8_flop_per_clk},
        Knob{"mufu", &Machine::mufu_per_clk}, Knob{"smem", &Machine::smem_bytes_per_clk},
        Knob{"clock", &Machine::clock_mhz}}) {
    for (const PlanRequest& request : {PlanRequest{.head_dim = 64}, PlanRequest{}, fp8()}) {
      double before = 0;
      for (double share = 1.0; share > 0.2; share *= 0.85) {
        Machine m = machine("H100");
        m.*knob.member *= share;
        if (knob.member == &Machine::clock_mhz) m.short_launch_clock_mhz *= share;
        const double us = time_us(m, request, shape_of(8192, 16, request.head_dim));
        EXPECT_GE(us, 0.99 * before) << knob.name << " d" << request.head_dim << " x" << share;
        before = us;
      }
    }
  }
}

TEST(Laws, HalvingKeptBlocksAtMostHalvesTheMainLoop) {
  for (const char* gpu : {"H100", "H20"}) {
    const Machine m = machine(gpu);
    for (const PlanRequest& request : {PlanRequest{}, PlanRequest{.kernel = Kernel::sta}, fp8()}) {
      const Plan plan = make_plan(request, m);
      const Timing t;
      const auto clocks = [&](int blocks) {
        const Work work{
            .head = {{591, blocks, 0}}, .copies = 10, .unique_key_blocks = 430, .listed = true};
        return launch_time(m, t, plan, shape_of(75600, 10), work).clocks;
      };
      for (int blocks : {16, 64, 256}) {
        EXPECT_GE(clocks(blocks / 2), 0.5 * clocks(blocks) * 0.99) << gpu << " " << blocks;
      }
    }
  }
}

Part largest_saving(const Machine& m, const PlanRequest& request, const Shape& shape) {
  const Plan plan = make_plan(request, m);
  const Work work = dense(plan, shape);
  Part best = Part::launch;
  double least = 1e300;
  for (Part part : {Part::tensor, Part::mufu, Part::fp32, Part::smem, Part::l2, Part::hbm}) {
    const double us = launch_time_without(part, m, {}, plan, shape, work).us;
    if (us < least) least = us, best = part;
  }
  return best;
}

TEST(Laws, TheH20IsTensorBound) {
  EXPECT_EQ(largest_saving(machine("H20"), {}, shape_of(32760, 12)), Part::tensor);
  EXPECT_EQ(largest_saving(machine("H20"), fp8(), shape_of(32760, 12)), Part::tensor);
}

TEST(Laws, TheH100IsSoftmaxBoundInFp8) {
  const Part part = largest_saving(machine("H100"), fp8(), shape_of(32760, 12));
  EXPECT_TRUE(part == Part::mufu || part == Part::fp32) << part_name(part);
}

TEST(Laws, WavesStepAtMultiplesOfTheSmCount) {
  const Machine m = machine("H100");
  const Plan plan = make_plan({}, m);
  // In clocks: idle SMs let the others run at a higher clock.
  const auto clocks = [&](std::int64_t tiles) {
    const Shape shape{.queries = tiles * plan.block_q, .keys = 16384, .head_dim = 128};
    return launch_time(m, {}, plan, shape, dense(plan, shape)).clocks;
  };
  for (int wave : {1, 2, 3}) {
    const double full = clocks(132 * wave), over = clocks(132 * wave + 1);
    EXPECT_GT(over, full * (1 + 0.9 / wave)) << wave;
    EXPECT_LT(full, clocks(132 * wave - 20) * 1.06) << wave;
  }
}

TEST(Laws, UnevenTilesWaitForTheLongest) {
  const Machine m = machine("H100");
  const Plan plan = make_plan({.kernel = Kernel::sta}, m);
  const Shape shape = shape_of(25344, 1);
  const Work uneven{.head = {{120, 40, 0}, {12, 120, 0}}, .copies = 1};
  const LaunchTime real = launch_time(m, {}, plan, shape, uneven);
  const LaunchTime level = launch_time_without(Part::imbalance, m, {}, plan, shape, uneven);
  EXPECT_GT(real.us, 2 * level.us);
}

/// Many tiles of a block or two: whatever an SM draws in bursts, all of them read Q, K, V and write
/// O no faster than HBM gives.
TEST(Laws, TheBoardsMemoryIsTheFloor) {
  int bound = 0;
  for (const char* gpu : {"H100", "H100-PCIe", "H200", "H20"}) {
    const Machine m = machine(gpu);
    for (const Kernel kernel : {Kernel::fa2, Kernel::fa3, Kernel::sta, Kernel::flex}) {
      for (const int dim : {64, 128}) {
        for (const std::int64_t tokens : {64, 128, 200, 256, 512}) {
          const Plan plan = make_plan({.kernel = kernel, .head_dim = dim}, m);
          Shape shape = shape_of(tokens, 40, dim);
          shape.batch = 20000;
          const Work work = dense(plan, shape);
          const LaunchTime launch = launch_time(m, {}, plan, shape, work);
          const double bytes = 4.0 * shape.batch * 40 * double(tokens) * dim * 2;
          const std::string name = std::string(gpu) + " " + std::string(kernel_name(kernel)) +
                                   " d" + std::to_string(dim) + " L" + std::to_string(tokens);
          const double rate = m.hbm_gb_per_s * Timing{}.hbm_share * 1e3;  // bytes in us
          EXPECT_GE(launch.us, 0.999 * bytes / rate) << name;
          for (const double share : launch.busy_share) EXPECT_LE(share, 1 + 1e-9) << name;
          if (launch.us > launch.launch_us + 1.001 * launch.memory_us) continue;
          ++bound;
          EXPECT_LT(launch_time_without(Part::hbm, m, {}, plan, shape, work).us, launch.us) << name;
        }
      }
    }
  }
  EXPECT_GE(bound, 5);
}

/// Where a board waits for its memory, a faster clock does not make it wait longer: under a power
/// limit as well as without one L2 and HBM give so many bytes a second.
TEST(Laws, AFasterClockNeverCosts) {
  for (const auto& [kernel, dim, heads, tokens] : {std::tuple{Kernel::sta, 192, 36, 496},
                                                   {Kernel::sta, 256, 57, 307},
                                                   {Kernel::fa2, 192, 84, 183},
                                                   {Kernel::fa3, 128, 54, 507}}) {
    for (const Causality causality : {Causality::none, Causality::causal}) {
      Machine m = machine("H100-PCIe");
      const Plan plan = make_plan({.kernel = kernel, .head_dim = dim, .causality = causality}, m);
      Shape shape = shape_of(tokens, heads, dim);
      shape.causality = causality;
      double before = 1e300;
      for (int step = 0; step < 20; ++step, m.clock_mhz *= 1.05) {
        m.short_launch_clock_mhz = std::max(m.short_launch_clock_mhz, m.clock_mhz);
        const double us = launch_time(m, {}, plan, shape, dense(plan, shape)).us;
        EXPECT_LE(us, 1.003 * before) << kernel_name(kernel) << " " << m.clock_mhz;
        before = us;
      }
    }
  }
}

/// Tiles are simulated once per length, and long ones not to their end.
TEST(Laws, LargerLaunchesSimulateNoMore) {
  const Machine m = machine("H100");
  const Plan plan = make_plan({}, m);
  const auto launch = [&](const Shape& shape) {
    return launch_time(m, {}, plan, shape, dense(plan, shape));
  };
  const LaunchTime small = launch(shape_of(16384, 8)), large = launch(shape_of(75600, 40));
  EXPECT_GT(large.us, 50 * small.us);
  EXPECT_GT(small.events, 0u);
  EXPECT_LE(large.events, small.events);
}

}  // namespace
}  // namespace karat::hopper
