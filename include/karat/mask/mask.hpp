// Which (query, key) pairs a kernel computes, asked by ranges of positions and by single pairs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "karat/video/token_order.hpp"

namespace karat::mask {

using video::Range;

enum class Cover : std::uint8_t { none, partial, full };

/// A mask over positions of the reordered sequence. Implementations are immutable and thread-safe.
/// Positions that hold no token (padding) are in no kept pair, on either side. Ranges and positions
/// asked about lie inside [0, queries()) and [0, keys()).
class Mask {
 public:
  virtual ~Mask() = default;
  virtual std::int64_t queries() const = 0;  ///< positions on the query side
  virtual std::int64_t keys() const = 0;
  /// Exact for the block as a whole, straddling tiles or not: full when every pair is kept, none
  /// when no pair is or a range is empty. Cheap: tens of nanoseconds for blocks that lie inside
  /// tiles.
  virtual Cover cover(Range queries, Range keys) const = 0;
  virtual bool keeps(std::int64_t query, std::int64_t key) const = 0;
  /// Kept token pairs, exactly.
  virtual std::int64_t kept_pairs() const = 0;
};

/// Per query block the key blocks that hold at least one kept pair, ascending.
struct BlockMap {
  struct Entry {
    std::int32_t key_block;
    Cover cover;
  };
  std::vector<Range> query_blocks;
  std::vector<Range> key_blocks;
  std::vector<std::vector<Entry>> rows;  ///< one per query block
};

BlockMap block_map(const Mask& mask, std::vector<Range> query_blocks,
                   std::vector<Range> key_blocks);

}  // namespace karat::mask
