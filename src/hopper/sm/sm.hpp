// One SM running CTAs of one plan: the simulation at the heart of the time model. Private to the
// hopper layer; tile_cost.hpp turns its runs into costs per tile.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {

/// One service of a unit (actor = who asked), or one phase of an actor (unit absent).
struct Slice {
  int unit = -1;  ///< UnitId, or -1 for a phase
  int cta = 0;
  int group = 0;  ///< consumer warpgroup; plan.warpgroups = producer
  double begin = 0;
  double end = 0;
  const char* label = "";
  int block = 0;
};

/// What a CTA does for one query tile.
struct TileWork {
  int blocks = 1;
  double masked_share = 0;  ///< share of the blocks that need element masking
};

/// Bandwidth of an SM, from the launch: see supply.cpp. The shares are what is left when all SMs
/// ask at once; an SM that asked for less before may draw faster, up to its own port.
struct Supply {
  double port_bytes_per_clk = 64;  ///< most that one SM can take
  double l2_bytes_per_clk = 64;    ///< share of L2
  double hbm_bytes_per_clk = 16;   ///< share of HBM
  double q_miss = 1;               ///< share of Q bytes that come from HBM
  double kv_miss = 0.1;            ///< likewise of K and V
  double o_miss = 1;               ///< share of O that goes to HBM during the launch
  double q_real = 1;   ///< share of the first tile's rows that exist; the rest is not fetched
  double kv_real = 1;  ///< share of all blocks' keys that do
  double listed = 0;   ///< 1: the next block is read from a list
  double active = 1;   ///< SMs at work, which share the board's rates
  double mhz = 0;      ///< the clock that these shares count by
};

struct SmRun {
  std::vector<double> tile_end;     ///< of CTA 0, per tile
  std::vector<double> block_begin;  ///< of CTA 0, warpgroup 0, last tile: QK issue of every block
  std::array<double, kUnits> busy{};
  double end = 0;
  std::uint64_t events = 0;
};

/// Runs `tiles`, one after another, on each of `residents` CTAs that start together.
/// Every unit serves in one order that no duration changes (warpgroups in turn, block by block), so
/// that every time is a maximum of sums of durations: a shorter duration never delays anything, and
/// a duration changed by 1 % changes no time by more than 1 %.
/// @param trace filled when not null
SmRun run_sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
             int residents, std::span<const TileWork> tiles, std::vector<Slice>* trace = nullptr);

}  // namespace karat::hopper
