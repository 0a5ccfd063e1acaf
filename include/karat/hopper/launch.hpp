// One kernel launch on a board: tiles over SMs, waves, shares of L2 and HBM, key splits.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "karat/hopper/machine.hpp"
#include "karat/hopper/plan.hpp"
#include "karat/hopper/timing.hpp"

namespace karat::hopper {

/// What may be made free of charge to see what bounds a kernel.
enum class Part {
  tensor,     ///< matrix instructions take no time
  mufu,       ///< exp2 does not
  fp32,       ///< FP32, comparisons, conversions and their issue do not
  smem,       ///< shared memory bandwidth is unlimited
  l2,         ///< likewise L2 (its latency stays)
  hbm,        ///< likewise HBM
  waves,      ///< SMs share the last wave's work to the last clock
  imbalance,  ///< every query tile has the mean number of blocks
  launch,     ///< launch latency and the kernel in front
  combining   ///< the kernel that combines the parts of divided keys
};
inline constexpr int kParts = 10;
std::string part_name(Part part);

/// All query tiles of a launch: one head's, repeated for every batch entry and head.
struct Work {
  std::vector<TileRun> head;
  std::int64_t copies = 1;  ///< batch x heads
  double unique_key_blocks =
      0;                ///< key blocks a head has, for the share that L2 misses; 0: largest run
  bool listed = false;  ///< the kernel walks a list of kept blocks
};

/// Shared hardware of an SM, and its share of the board's caches and memory.
enum class UnitId { tensor, mufu, fp32, alu, convert, ports, smem, l2, hbm };
inline constexpr std::array kUnitNames = {"tensor core",   "MUFU",        "FP32",
                                          "ALU",           "conversions", "register ports",
                                          "shared memory", "L2",          "HBM"};
inline constexpr int kUnits = kUnitNames.size();

/// The kernel behind a launch that may divide keys.
struct Combining {
  double launch_us = 0;
  double ctas = 0;        ///< of the whole launch
  double ctas_us = 0;     ///< their start and their look at what there is to combine
  double traffic_us = 0;  ///< FP32 parts and outputs through L2
  double us() const { return launch_us + ctas_us + traffic_us; }
};

struct LaunchTime {
  double us = 0;
  double clock_mhz = 0;  ///< the clock it was computed at
  double clocks = 0;     ///< of the busiest SM, without the launch
  double launch_us = 0;
  double memory_us = 0;  ///< of its bytes at the board's rates of L2 or HBM: the tiles' floor
  KeySplits division;    ///< of the keys
  Combining combining;
  int walked = 0;            ///< tiles handed to SMs one by one; the others are counted
  std::int64_t tiles = 0;    ///< query tiles, parts of divided ones counted
  double waves = 0;          ///< tiles / CTA slots
  double blocks = 0;         ///< padded key blocks computed
  double steady_clocks = 0;  ///< per block far inside a tile
  std::array<double, kUnits> busy_share{};  ///< of all SMs, or of the board's L2 and HBM
  std::vector<double> sm_clocks;            ///< end of every SM's last tile
  std::uint64_t events = 0;                 ///< of the SM's simulation
};

/// @param shape lengths and batch (for traffic); `work` decides what is computed.
/// @throws Error(usage) when the work is empty.
LaunchTime launch_time(const Machine& machine, const Timing& timing, const Plan& plan,
                       const Shape& shape, const Work& work);

/// The same with one part free of charge.
LaunchTime launch_time_without(Part part, const Machine& machine, const Timing& timing,
                               const Plan& plan, const Shape& shape, const Work& work);

/// Gives a board another power limit: at a fixed use, clock ~ power^tensor_exponent, the law of
/// held clocks read the other way.
/// @throws Error(usage) for a board that power does not limit: what it draws is not known
void limit_power(Machine& machine, const Timing& timing, double watts);

/// Work of a dense or causal kernel.
Work dense(const Plan& plan, const Shape& shape);

}  // namespace karat::hopper
