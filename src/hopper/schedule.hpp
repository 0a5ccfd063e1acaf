// Query tiles over SMs. Private to the hopper layer.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tile_cost.hpp"

namespace karat::hopper {

struct Schedule {
  double end = 0;                     ///< of the last tile
  std::vector<double> sm_end;         ///< of every SM's last tile
  std::array<double, kUnits> busy{};  ///< clocks of work of all SMs together
  std::int64_t walked = 0;            ///< tiles handed out one by one
};

/// Who computes which tile, and when all are done. Equal tiles are counted, not walked: the answer
/// costs the same for any number of heads. Heads of unequal tiles are walked tile by tile up to
/// some ten thousand; the heads behind those add their mean work.
/// @param runs of one head, `copies` times over
Schedule schedule(const Machine& machine, const Plan& plan, TileCosts& costs,
                  std::vector<TileRun> runs, std::int64_t copies);

}  // namespace karat::hopper
