// Which blocks are recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/layout/layout.hpp"

namespace karat::cases {

/// The default: first, last, one of each ragged size, then seeded ones up to `count` (ascending).
std::vector<int> choose_taps(std::span<const video::Range> blocks, std::uint64_t seed,
                             int count = 8);

inline std::vector<int> choose_taps(const layout::Layout& layout, std::uint64_t seed,
                                    int count = 8) {
  return choose_taps(layout.blocks.query_blocks, seed, count);
}

/// "all", "none", or query blocks "0,5,17"; "" is the default.
/// @throws Error(usage) for anything else, or a block the layout has not
std::vector<int> parse_taps(std::string_view text, const layout::Layout& layout,
                            std::uint64_t seed);

/// Blocks of a backward.
struct BackwardTaps {
  std::vector<int> queries, keys;
};
inline constexpr int kBackwardTaps = 4;  ///< of each side, where nothing is said
/// What people say about taps of a run: its forward's and its backward's blocks are cut apart.
struct TapWords {
  std::string forward;            ///< as parse_taps() reads it
  std::optional<std::string> dq;  ///< query blocks of the backward; empty: as `forward` says
  /// Key blocks of the backward; empty: as `forward` says where it is no list, else four.
  std::optional<std::string> dkv;
};
/// @throws Error(usage) as parse_taps()
BackwardTaps parse_backward_taps(const TapWords& words, const mask::BlockMap& blocks,
                                 std::uint64_t seed);

}  // namespace karat::cases
