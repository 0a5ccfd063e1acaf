// Private: lanes of a warp that went different ways. The group at the lowest program counter runs;
// groups that meet at one go on together.
#pragma once

#include "execute/state.hpp"

namespace karat::ptx {

/// Whether the lanes of `wanted` that have not exited all run now. Instructions with a member mask
/// wait until they do.
inline bool converged(const Warp& warp, std::uint32_t wanted) {
  return (wanted & warp.alive & ~warp.now.lanes) == 0;
}

/// A branch that only `taken` of the running lanes follow.
void split(Warp& warp, std::uint32_t taken, std::uint32_t target);

/// Joins groups at the running one's program counter, then runs the lowest.
/// Called when the running group has come to `rejoin` or passed it.
void rejoin(Warp& warp);

/// Lanes leave the kernel. Running lanes may be none afterwards.
void leave(Warp& warp, std::uint32_t lanes);

/// The running group waits (or has left): another one that is not blocked runs. False if there is
/// none.
bool change_group(Warp& warp);

/// All groups may try again, the lowest first. @pre !warp.done()
void unblock(Warp& warp);

}  // namespace karat::ptx
