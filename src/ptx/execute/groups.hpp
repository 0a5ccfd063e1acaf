// Private: lanes of a warp that went different ways. The group at the lowest program counter runs;
// groups that meet at one go on together.
#pragma once

#include <span>

#include "execute/state.hpp"

namespace karat::ptx {

/// Whether the lanes of `wanted` that have not exited all run now. Instructions with a member mask
/// wait until they do.
inline bool converged(const Warp& warp, std::uint32_t wanted) {
  return (wanted & warp.alive & ~warp.now.lanes) == 0;
}

/// Lanes that take part in an instruction with a member mask, and the one they stand at.
struct Party {
  const MicroOp* op = nullptr;
  std::uint32_t lanes = 0;  ///< those its guard lets run it
};
struct Parties {
  std::array<Party, 32> list;
  std::size_t count = 0;
  std::span<const Party> all() const { return {list.data(), count}; }
};
/// Brings together the lanes of `wanted`: the running group at `op` and those that wait at another
/// instruction of the same opcode, which have it behind them afterwards. Lanes at different program
/// counters so meet (PTX ISA, "shfl.sync": all threads of the mask execute it with the same
/// qualifiers). @return nobody while lanes are missing
Parties meet(const MicroOp& op, Warp& warp, std::uint32_t lanes, std::uint32_t wanted);

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
