// Private: who looks on while warps run. The loop over micro-operations is compiled once per kind
// of watch; the empty one costs nothing.
#pragma once

#include "execute/observer.hpp"
#include "execute/witness.hpp"

namespace karat::ptx {

struct Unwatched {
  /// Before an operation runs on `lanes` (guard applied, not 0); it may run again if it waits.
  void before(const Warp&, const MicroOp&, std::uint32_t /*lanes*/) {}
  /// After it ran.
  void after(const Warp&, const MicroOp&, std::uint32_t /*lanes*/, Step) {}
};

/// Lets operations tell their cluster's witness, and shows them to its observers.
struct Watched {
  void before(const Warp& warp, const MicroOp& op, std::uint32_t lanes) {
    const bool begins = warp.now.pending.kind == Pending::Kind::none && !warp.now.waits;
    if (begins)
      for (Observer* const each : warp.cta->cluster->observers) each->before(warp, op, lanes);
    Witness* const witness = warp.cta->witness;
    if (witness == nullptr) return;
    witness->touch(warp, op);
    if (op.tell != nullptr && warp.now.pending.kind == Pending::Kind::none)
      op.tell(op, warp, lanes, *witness, Moment::before);
  }
  void after(Warp& warp, const MicroOp& op, std::uint32_t lanes, Step step) {
    warp.now.waits = step == Step::wait;
    Witness* const witness = warp.cta->witness;
    if (witness != nullptr && op.tell != nullptr && step != Step::wait)
      op.tell(op, warp, lanes, *witness, Moment::after);
    for (Observer* const each : warp.cta->cluster->observers) each->after(warp, op, step);
  }
};

}  // namespace karat::ptx
