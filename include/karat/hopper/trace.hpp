// One SM at work as a timeline for Perfetto (Chrome trace JSON), and pictures of an answer.
#pragma once

#include <string>

#include "karat/hopper/cost.hpp"

namespace karat::hopper {

/// What a timeline shows: the first tiles of the CTAs that share one SM.
struct TraceOptions {
  int tiles = 2;        ///< query tiles per CTA
  int most_blocks = 8;  ///< key blocks per tile; longer tiles are cut
};

/// Tracks: one per unit, one per warpgroup of each CTA. Times are microseconds at the clock of
/// `cost`. The busy time of a unit's track is the work asked of it.
std::string perfetto_trace(const Question& question, const AttentionCost& cost,
                           const TraceOptions& options = {});

/// One SVG with three panels: Gantt of an SM, roofline of the board, occupancy of the SMs.
std::string cost_picture(const Question& question, const AttentionCost& cost,
                         const TraceOptions& options = {});

}  // namespace karat::hopper
