// The kept-block lists of mask/mask.hpp, and what they count.
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

BlockMap block_map(const Mask& mask, std::vector<Range> query_blocks,
                   std::vector<Range> key_blocks) {
  BlockMap map{std::move(query_blocks), std::move(key_blocks), {}};
  map.rows.reserve(map.query_blocks.size());
  for (const Range& queries : map.query_blocks) {
    auto& row = map.rows.emplace_back();
    for (std::size_t j = 0; j < map.key_blocks.size(); ++j) {
      const Cover cover = mask.cover(queries, map.key_blocks[j]);
      if (cover != Cover::none) row.push_back({static_cast<std::int32_t>(j), cover});
    }
  }
  return map;
}

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
