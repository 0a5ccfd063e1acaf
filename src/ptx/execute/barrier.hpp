// Private: rounds of a CTA's named barriers.
#pragma once

#include "execute/state.hpp"

namespace karat::ptx {

/// bar.red's ways to bring threads together.
enum class BarrierReduction : std::uint8_t { none, popc, all, any };

/// A round is over: its reductions are kept for those who waited.
inline void finish_round(Barrier& barrier, std::uint64_t round) {
  barrier.results[round % 2] = barrier.now;
  barrier.now = {};
}

/// A warp has left the CTA: rounds that wait for all threads wait for fewer.
inline void leave_barriers(Cta& cta) {
  for (Barrier& each : cta.barriers) {
    units::NamedBarrier& state = each.state;
    if (!each.whole || state.arrived == 0) continue;
    state.expected -= 32;
    if (state.arrived < state.expected) continue;
    finish_round(each, state.round);
    state.arrived = state.expected = 0;
    ++state.round;
  }
}

}  // namespace karat::ptx
