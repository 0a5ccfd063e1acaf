// What an SM gets of L2 and HBM in a launch, and what it then does, slice by slice. Private to the
// hopper layer.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/hopper/answer.hpp"
#include "sm/sm.hpp"

namespace karat::hopper {

double total_blocks(const std::vector<TileRun>& runs);
std::int64_t total_tiles(const std::vector<TileRun>& runs);

/// All SMs at work share both bandwidths evenly. Misses: Q once; K and V once per head while the
/// heads at work fit L2, else once per group of CTAs at work together; nothing when all tensors of
/// the launch fit. @param mhz the SMs' clock @param tiles query tiles of the launch, splits
/// counted
Supply make_supply(const Machine& machine, const Timing& timing, const Plan& plan,
                   const Shape& shape, const Work& work, double mhz, std::int64_t tiles);

/// Slices of one SM in a kernel of the question, adjacent services of one kind joined.
std::vector<Slice> timeline(const Question& question, const Plan& plan, const LaunchTime& launch,
                            const TraceOptions& options);

}  // namespace karat::hopper
