// Private: who looks on while warps run. The loop over micro-operations is compiled once per kind
// of watch; the empty one costs nothing.
#pragma once

#include "execute/state.hpp"

namespace karat::ptx {

struct Unwatched {
  /// Before an operation runs on `lanes` (guard applied, not 0); it may run again if it waits.
  void before(const Warp&, const MicroOp&, std::uint32_t /*lanes*/) {}
  /// After it ran.
  void after(const Warp&, const MicroOp&, std::uint32_t /*lanes*/, Step) {}
};

}  // namespace karat::ptx
