// Implementation of mask/density.hpp.
#include "karat/mask/density.hpp"

#include "karat/video/token_order.hpp"

namespace karat::mask {
namespace {

std::int64_t kept(const BlockMap& map) {
  std::int64_t count = 0;
  for (const auto& row : map.rows) count += std::ssize(row);
  return count;
}

}  // namespace

Density density(const Mask& mask, const video::TokenOrder& order, const BlockMap& blocks,
                int query_block, int key_block) {
  const auto tiles = video::tile_ranges(order);
  const auto pairs = static_cast<double>(order.tokens()) * static_cast<double>(order.tokens());
  Density out;
  out.tokens = static_cast<double>(mask.kept_pairs()) / pairs;
  out.tiles = static_cast<double>(kept(block_map(mask, tiles, tiles))) /
              (static_cast<double>(tiles.size()) * static_cast<double>(tiles.size()));
  for (const auto& row : blocks.rows)
    for (const auto& entry : row)
      ++(entry.cover == Cover::full ? out.full_blocks : out.partial_blocks);
  out.blocks = static_cast<double>(kept(blocks)) * query_block * key_block / pairs;
  return out;
}

}  // namespace karat::mask
