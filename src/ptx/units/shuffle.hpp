// Exchange between the lanes of a warp: shfl, vote, match, redux, activemask's friends. PTX ISA:
// "shfl.sync", "vote.sync", "match.sync", "redux.sync", "elect.sync".
#pragma once

#include <cstdint>
#include <string_view>

#include "units/lanes.hpp"

namespace karat::ptx::units {

enum class ShuffleMode : std::uint8_t { idx, bfly, up, down };
/// "idx", "bfly", "up", "down"; @throws Error(usage) otherwise
ShuffleMode shuffle_mode(std::string_view name);

/// c = clamp | segment mask << 8, b the lane or offset (5 bits each). With min = lane & segmask and
/// max = min | (clamp & ~segmask): idx j = min | (b & ~segmask); bfly j = lane ^ b; up j = lane -
/// b, in range if j >= max; the others if j <= max. Out of range: j = lane, predicate false.
/// @param b, c  lane arrays
/// @param d  may be a
/// @return the predicate
std::uint32_t shuffle(ShuffleMode, const std::uint32_t* a, const std::uint32_t* b,
                      const std::uint32_t* c, std::uint32_t* d);
/// The lane that lane `lane` reads, and whether it is in range.
struct ShuffleSource {
  int lane;
  bool in_range;
};
ShuffleSource shuffle_source(ShuffleMode, int lane, std::uint32_t b, std::uint32_t c);

/// Votes over the lanes of `members`; predicate bits outside do not count.
bool vote_all(std::uint32_t members, std::uint32_t predicate);
bool vote_any(std::uint32_t members, std::uint32_t predicate);
bool vote_uni(std::uint32_t members, std::uint32_t predicate);
std::uint32_t vote_ballot(std::uint32_t members, std::uint32_t predicate);

/// match.any: lane l of d gets the members whose value equals its own (0 outside members).
void match_any(std::uint32_t members, const std::uint32_t* a, std::uint32_t* d);
void match_any(std::uint32_t members, const std::uint64_t* a, std::uint32_t* d);
/// match.all: `members` if all have one value, else 0.
std::uint32_t match_all(std::uint32_t members, const std::uint32_t* a);
std::uint32_t match_all(std::uint32_t members, const std::uint64_t* a);

/// @param opcode  "redux.sync.add.s32": add, min, max of u32 and s32, and, or, xor of b32, min and
///                max of f32 with .abs and .NaN
/// @return the reduction over `members`, which every member gets. @throws Error(input_output)
using ReduxRun = std::uint32_t (*)(std::uint32_t members, const std::uint32_t* a);
ReduxRun redux_op(std::string_view opcode);

/// elect.sync: the lowest lane of `members` (assumed; documented only as always the same one).
/// @pre members != 0
int elect(std::uint32_t members);

}  // namespace karat::ptx::units
