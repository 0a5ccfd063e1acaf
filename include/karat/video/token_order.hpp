// The order in which a kernel sees tokens: tile after tile, row-major inside a tile.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/video/grid.hpp"

namespace karat::video {

/// What happens at tiles that stick out of the grid.
enum class Ragged {
  partial,  ///< edge tiles are smaller
  pad,      ///< every tile has its full volume; positions outside the grid hold no token
};

/// A half-open range of positions in the reordered sequence.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};

/// token -> position and back. With Ragged::pad there are more positions than tokens.
/// Invariant: token_at[position_of[x]] = x for every token x, and every other token_at is -1.
struct TokenOrder {
  std::vector<std::int32_t> token_at;     ///< per position; -1 where padding stands
  std::vector<std::int32_t> position_of;  ///< per token
  std::vector<std::int64_t>
      tile_begin;                     ///< first position of each tile; one past the last at the end
  std::vector<std::int32_t> tile_at;  ///< per position
  std::int64_t positions() const { return static_cast<std::int64_t>(token_at.size()); }
  std::int64_t tokens() const { return static_cast<std::int64_t>(position_of.size()); }
};

/// Tiles in ascending id, row-major inside each: (n_t ts_t n_h ts_h n_w ts_w) -> (n_t n_h n_w ts_t
/// ts_h ts_w). A tile of {1,1,1} keeps the original order, one of {T,1,1} is token-major (time
/// fastest).
/// @throws Error(usage) when padding makes more than 2^31 - 1 positions.
TokenOrder tile_order(const Tiling& tiling, Ragged ragged = Ragged::partial);

/// The order with text behind the video: `text` more tokens (numbered after the video's) as one
/// more tile of `padded` positions, those beyond `text` padding.
/// @throws Error(usage) unless 0 < text <= padded and everything stays below 2^31 positions.
TokenOrder append_text(TokenOrder order, int text, int padded);

/// Whether position i holds token i, everywhere.
bool is_own_order(const TokenOrder& order);

/// How blocks of a fixed number of positions are laid out.
enum class Align {
  tile,      ///< a block never straddles two tiles; a tile's last block may be short
  sequence,  ///< fixed size along the whole sequence; only the last may be short
};

/// Blocks of `size` positions covering the sequence, ascending. @throws Error(usage) unless size >
/// 0.
std::vector<Range> cut_blocks(const TokenOrder& order, int size, Align align);

/// Pieces of `size` positions, the last as short as it must be. @throws Error(usage) unless size >
/// 0.
std::vector<Range> cut_range(Range range, int size);

/// The positions of every tile, ascending.
std::vector<Range> tile_ranges(const TokenOrder& order);

}  // namespace karat::video
