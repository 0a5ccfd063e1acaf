// Tiles over SMs: each SM runs its tiles back to back at the costs the pipeline simulation gives.
#include "karat/hopper/launch.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "division.hpp"
#include "karat/numerics/base/error.hpp"
#include "schedule.hpp"
#include "supply.hpp"
#include "tile_cost.hpp"

namespace karat::hopper {
namespace {

constexpr double kFree = 1e6;  // a rate no kernel notices

enum class Ideal { none, waves, imbalance, combined };

/// Runs whose tiles all have the mean number of blocks (rounded up and down to keep the total).
std::vector<TileRun> levelled(const std::vector<TileRun>& runs) {
  const std::int64_t tiles = total_tiles(runs);
  const auto blocks = static_cast<std::int64_t>(std::llround(total_blocks(runs)));
  const double masked = runs.front().masked_share;
  const int low = static_cast<int>(blocks / tiles);
  const std::int64_t more = blocks % tiles;
  std::vector<TileRun> out;
  if (more > 0) out.push_back({more, low + 1, masked});
  if (low > 0 && tiles > more) out.push_back({tiles - more, low, masked});
  return out;
}

/// The kernel that combines parts: CTAs that find nothing to combine leave at once, the others move
/// FP32 parts out and in and 16-bit outputs.
Combining combining(const Machine& m, const Timing& t, const Plan& p, const Shape& shape,
                    KeySplits division, double mhz) {
  if (division.most == 1) return {};
  const double ctas = combine_ctas(p, shape);
  const double rows = double(shape.batch) * shape.heads * double(shape.queries);
  const double bytes = division.taken > 1 ? rows * p.head_dim * (2.0 * 4 * division.taken + 2) : 0;
  return {.launch_us = t.combine_us,
          .ctas = ctas,
          .ctas_us = ctas * t.combine_cta / (m.sms * mhz),
          .traffic_us = bytes / (m.l2_gb_per_s * t.l2_share) * 1e-3};
}

/// The clock a board holds. One that power limits gains where SMs idle, operands are zero padding
/// or the launch ends before the board is warm, and loses where the tensor core is used above
/// power_reference of the time. Others keep their clock.
/// @param activity mean share of the launch for which an SM has work
/// @param tensor_use share of the main loop for which its tensor core is busy
double held_clock(const Machine& m, const Timing& t, const Plan& p, double activity,
                  double tensor_use, double sustained_us) {
  if (m.clock_mhz >= m.short_launch_clock_mhz) return m.clock_mhz;
  const double real = double(p.head_dim) / p.tile_dim;
  const double cool = std::clamp(std::log10(t.warm_ms * 1e3 / sustained_us), 0.0, 1.0);
  const double hot = std::max(1.0, tensor_use * real / t.power_reference);
  const double mhz = m.clock_mhz * std::pow(activity, -t.idle_exponent) *
                     (1 + t.warm_slope * cool) * (1 + t.zero_gain * (1 - real)) *
                     std::pow(hot, -t.tensor_exponent);
  return std::min(mhz, m.short_launch_clock_mhz);
}

double mean_end(const Schedule& done) {
  return std::accumulate(done.sm_end.begin(), done.sm_end.end(), 0.0) /
         static_cast<double>(done.sm_end.size());
}

/// What the bytes of all tiles take at the board's rate of L2 or HBM, whatever the clock. An SM may
/// draw in bursts; all of them together get no more than that.
double board_us(UnitId memory, const Supply& supply, const Schedule& done) {
  return done.busy[static_cast<int>(memory)] / (supply.active * supply.mhz);
}

LaunchTime simulate(const Machine& machine, const Timing& timing, const Plan& undivided,
                    const Shape& shape, const Work& work, Ideal ideal,
                    std::optional<double> clock_mhz = {}) {
  if (work.head.empty() || total_blocks(work.head) <= 0 || work.copies <= 0) {
    throw Error(ErrorKind::usage, "work", "keeps no block", "widen the window");
  }
  std::vector<TileRun> runs;
  for (const TileRun& run : work.head) {
    if (run.blocks > 0 && run.tiles > 0) runs.push_back(run);
  }
  if (ideal == Ideal::imbalance) runs = levelled(runs);
  LaunchTime out;
  double masked = 0;
  for (const TileRun& run : runs) {
    masked += run.masked_share * double(run.tiles) * run.blocks;
  }
  masked /= total_blocks(runs);
  out.division = work.listed ? KeySplits{} : key_splits(undivided, shape, machine.sms);
  const DividedLaunch parts = divided(undivided, runs, out.division);
  const Plan& plan = parts.plan;
  runs = parts.runs;
  out.tiles = total_tiles(runs) * work.copies;
  out.blocks = total_blocks(runs) * double(work.copies);
  out.waves = double(out.tiles) / (double(machine.sms) * plan.ctas_per_sm);
  // A kernel in front sorts sequences, or zeroes the counter that tiles are drawn from.
  const bool prepared = plan.lengths == Lengths::varying || draws_tiles(plan);
  out.launch_us = timing.launch_us + (prepared ? timing.prepare_us : 0);
  const auto supply_at = [&](double mhz) {
    return make_supply(machine, timing, plan, shape, work, mhz, out.tiles);
  };
  // What the board holds follows from a first look at the clock it sustains; then L2 and HBM give
  // so much a clock as they do at the clock held.
  out.clock_mhz = clock_mhz.value_or(machine.clock_mhz);
  if (!clock_mhz && machine.clock_mhz < machine.short_launch_clock_mhz) {
    TileCosts costs(machine, timing, plan, supply_at(machine.clock_mhz), masked);
    const Schedule done = schedule(machine, plan, costs, runs, work.copies);
    out.clock_mhz = held_clock(machine, timing, plan, mean_end(done) / done.end,
                               costs.tensor_use(plan.ctas_per_sm), done.end / machine.clock_mhz);
    out.events = costs.events();
  }
  const Supply supply = supply_at(out.clock_mhz);
  TileCosts costs(machine, timing, plan, supply, masked);
  const Schedule done = schedule(machine, plan, costs, runs, work.copies);
  out.clocks = ideal == Ideal::waves ? mean_end(done) : done.end;
  out.sm_clocks = done.sm_end;
  if (ideal != Ideal::combined)
    out.combining = combining(machine, timing, plan, shape, out.division, out.clock_mhz);
  const double l2_us = board_us(UnitId::l2, supply, done);
  const double hbm_us = board_us(UnitId::hbm, supply, done);
  out.memory_us = std::max(l2_us, hbm_us);
  out.us = out.launch_us + out.combining.us() + std::max(out.clocks / out.clock_mhz, out.memory_us);
  out.steady_clocks = costs.steady(plan.ctas_per_sm) / plan.ctas_per_sm;
  for (int u = 0; u < kUnits; ++u) {
    out.busy_share[u] = done.busy[u] / (out.us * out.clock_mhz * machine.sms);
  }
  out.busy_share[static_cast<int>(UnitId::l2)] = l2_us / out.us;
  out.busy_share[static_cast<int>(UnitId::hbm)] = hbm_us / out.us;
  out.events += costs.events();
  out.walked = static_cast<int>(done.walked);
  return out;
}

}  // namespace

void limit_power(Machine& machine, const Timing& timing, double watts) {
  if (machine.clock_mhz >= machine.short_launch_clock_mhz) {
    throw Error(ErrorKind::usage, "power",
                "does not limit the " + machine.name + ", and what it draws is not known",
                "give its clock in a FILE.json instead");
  }
  machine.clock_mhz =
      std::min(machine.clock_mhz * std::pow(watts / machine.tdp_w, timing.tensor_exponent),
               machine.short_launch_clock_mhz);
  machine.tdp_w = watts;
}

std::string part_name(Part part) {
  static constexpr const char* kNames[kParts] = {
      "tensor core", "MUFU",  "FP32",      "shared memory", "L2",
      "HBM",         "waves", "imbalance", "launch",        "combining keys"};
  return kNames[static_cast<int>(part)];
}

Work dense(const Plan& plan, const Shape& shape) {
  Work work;
  work.head = dense_work(plan, shape);
  work.copies = std::int64_t{shape.batch} * shape.heads;
  return work;
}

LaunchTime launch_time(const Machine& machine, const Timing& timing, const Plan& plan,
                       const Shape& shape, const Work& work) {
  validate(shape);
  return simulate(machine, timing, plan, shape, work, Ideal::none);
}

LaunchTime launch_time_without(Part part, const Machine& machine, const Timing& timing,
                               const Plan& plan, const Shape& shape, const Work& work) {
  Machine m = machine;
  Timing t = timing;
  Ideal ideal = Ideal::none;
  switch (part) {
    case Part::tensor:
      m.bf16_flop_per_clk *= kFree, m.fp8_flop_per_clk *= kFree, t.port_accumulate = 0;
      break;
    case Part::mufu:
      m.mufu_per_clk *= kFree;
      break;
    case Part::fp32:
      m.fp32_per_clk *= kFree, m.alu_per_clk *= kFree, m.conversions_per_clk *= kFree;
      t.port_per_instruction = 0;
      break;
    case Part::smem:
      m.smem_bytes_per_clk *= kFree;
      break;
    case Part::l2:
      m.l2_gb_per_s *= kFree;
      break;
    case Part::hbm:
      m.hbm_gb_per_s *= kFree;
      break;
    case Part::waves:
      ideal = Ideal::waves;
      break;
    case Part::imbalance:
      ideal = Ideal::imbalance;
      break;
    case Part::launch:
      t.launch_us = t.prepare_us = 0;
      break;
    case Part::combining:
      ideal = Ideal::combined;
      break;
  }
  // A part that costs nothing does not change the clock.
  const double clock = simulate(machine, timing, plan, shape, work, Ideal::none).clock_mhz;
  return simulate(m, t, plan, shape, work, ideal, clock);
}

}  // namespace karat::hopper
