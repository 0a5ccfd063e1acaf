// A launch as its CTAs see it once keys are divided. Private to the hopper layer.
#pragma once

#include <vector>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {

struct DividedLaunch {
  Plan plan;                  ///< without clusters, with FP32 outputs where tiles are divided
  std::vector<TileRun> runs;  ///< of one head: the parts of its tiles, empty ones left out
};

/// Every tile's keys in `division.taken` parts at most, all as long as the first.
DividedLaunch divided(Plan plan, const std::vector<TileRun>& runs, KeySplits division);

}  // namespace karat::hopper
