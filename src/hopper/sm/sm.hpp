// One SM running CTAs of one plan: the event simulation at the heart of the time model.
// Private to the hopper layer; tile_cost.hpp turns its runs into costs per tile.
#pragma once

#include <array>
#include <cstdint>
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

/// Bandwidth an SM gets, from the launch: see launch.cpp.
struct Supply {
  double l2_bytes_per_clk = 64;
  double hbm_bytes_per_clk = 16;
  double q_miss = 1;     ///< share of Q bytes that come from HBM
  double kv_miss = 0.1;  ///< likewise of K and V
  double q_real = 1;     ///< share of the query rows that exist; the rest is zeros, not fetched
  double kv_real = 1;    ///< likewise of the keys
  double listed = 0;     ///< 1: the producer reads a block list
};

struct SmRun {
  std::vector<std::vector<double>> tile_end;  ///< per CTA slot, per tile
  std::vector<double> block_begin;  ///< slot 0, warpgroup 0, last tile: QK issue of every block
  std::array<double, kUnits> busy{};
  double end = 0;
  std::uint64_t events = 0;
};

/// Runs `tiles[slot]` on each resident CTA slot. @param trace filled when not null.
SmRun run_sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
             const std::vector<std::vector<TileWork>>& tiles, std::vector<Slice>* trace = nullptr);

}  // namespace karat::hopper
