// Private: rounds of a CTA's named barriers.
#pragma once

#include "execute/witness.hpp"

namespace karat::ptx {

/// bar.red's ways to bring threads together.
enum class BarrierReduction : std::uint8_t { none, popc, all, any };

/// A round is over: its reductions are kept for those who waited.
inline void finish_round(Cta& cta, std::uint32_t id, std::uint64_t round) {
  Barrier& barrier = cta.barriers[id];
  if (cta.witness != nullptr) cta.witness->complete(named_key(cta, id));
  barrier.results[round % 2] = barrier.now;
  barrier.now = {};
}

/// A warp has left the CTA: rounds that wait for all threads wait for fewer.
inline void leave_barriers(Cta& cta) {
  for (std::uint32_t id = 0; id < cta.barriers.size(); ++id) {
    units::NamedBarrier& state = cta.barriers[id].state;
    if (!cta.barriers[id].whole || state.arrived == 0) continue;
    state.expected -= 32;
    if (state.arrived < state.expected) continue;
    finish_round(cta, id, state.round);
    state.arrived = state.expected = 0;
    ++state.round;
  }
}

}  // namespace karat::ptx
