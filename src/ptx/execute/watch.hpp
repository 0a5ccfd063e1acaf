// Private: who looks on while warps run. The loop over micro-operations is compiled once per kind
// of watch; the empty one costs nothing.
#pragma once

#include "execute/witness.hpp"

namespace karat::ptx {

struct Unwatched {
  /// Before an operation runs on `lanes` (guard applied, not 0); it may run again if it waits.
  void before(const Warp&, const MicroOp&, std::uint32_t /*lanes*/) {}
  /// After it ran.
  void after(const Warp&, const MicroOp&, std::uint32_t /*lanes*/, Step) {}
};

/// Lets operations tell their CTA's witness.
struct Watched {
  void before(const Warp& warp, const MicroOp& op, std::uint32_t lanes) {
    warp.cta->witness->touch(warp, op);
    if (op.tell != nullptr && warp.now.pending.kind == Pending::Kind::none)
      op.tell(op, warp, lanes, *warp.cta->witness, Moment::before);
  }
  void after(const Warp& warp, const MicroOp& op, std::uint32_t lanes, Step step) {
    if (op.tell != nullptr && step != Step::wait)
      op.tell(op, warp, lanes, *warp.cta->witness, Moment::after);
  }
};

}  // namespace karat::ptx
