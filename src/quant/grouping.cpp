// Which scale group each position belongs to.
#include <algorithm>

#include "karat/quant/quantise.hpp"

namespace karat::quant {
namespace {

Grouping by_token(const video::TokenOrder& order) {
  Grouping grouping{.row_part = std::vector<std::int32_t>(order.token_at.size(), 0),
                    .row_parts = static_cast<std::int32_t>(order.tokens())};
  for (std::size_t i = 0; i < order.token_at.size(); ++i)
    grouping.row_part[i] = std::max(order.token_at[i], 0);
  return grouping;
}

/// Text behind the video is one more tile.
Grouping by_tile(const video::Tiling& tiles, const video::TokenOrder& order) {
  const std::int64_t video = tiles.grid().volume();
  const std::int32_t text_tile = tiles.tile_count();
  Grouping grouping{.row_part = std::vector<std::int32_t>(order.token_at.size(), 0),
                    .row_parts = text_tile + (order.tokens() > video)};
  for (std::size_t i = 0; i < order.token_at.size(); ++i)
    if (const std::int32_t token = order.token_at[i]; token >= 0)
      grouping.row_part[i] = token < video ? tiles.tile_of(token) : text_tile;
  return grouping;
}

/// Each block is cut into runs of `rows` positions and each run into `parts` groups;
/// part_of(offset in the run) names the group.
template <typename PartOf>
Grouping by_rows(std::span<const video::Range> blocks, const video::TokenOrder& order, int rows,
                 int parts, PartOf part_of) {
  Grouping grouping{.row_part = std::vector<std::int32_t>(order.token_at.size(), 0),
                    .row_parts = 0};
  for (const video::Range block : blocks) {
    for (std::int64_t i = 0; i < block.size(); ++i)
      grouping.row_part[block.begin + i] = static_cast<std::int32_t>(
          grouping.row_parts + i / rows * parts + part_of(static_cast<int>(i % rows)));
    grouping.row_parts += static_cast<std::int32_t>((block.size() + rows - 1) / rows * parts);
  }
  return grouping;
}

Grouping by_block(std::span<const video::Range> blocks, const video::TokenOrder& order) {
  Grouping grouping{.row_part = std::vector<std::int32_t>(order.token_at.size(), 0),
                    .row_parts = static_cast<std::int32_t>(blocks.size())};
  for (std::size_t b = 0; b < blocks.size(); ++b)
    std::fill_n(grouping.row_part.begin() + blocks[b].begin, blocks[b].size(),
                static_cast<std::int32_t>(b));
  return grouping;
}

}  // namespace

Grouping group_positions(const Rule& rule, video::Extent3 grid, const video::TokenOrder& order,
                         std::span<const video::Range> blocks, std::size_t channels) {
  const auto width = static_cast<std::int32_t>(channels);
  switch (rule.group) {
    case Group::tensor:
    case Group::all_heads:
      return {};
    case Group::channel:
      return {.row_part = {}, .row_parts = 1, .channels = width};
    case Group::token:
      return by_token(order);
    case Group::tile:
      return by_tile(video::Tiling(grid, rule.tile), order);
    case Group::tile_channel: {
      Grouping grouping = by_tile(video::Tiling(grid, rule.tile), order);
      grouping.channels = width;
      return grouping;
    }
    case Group::rows:
      return by_rows(blocks, order, rule.rows, 1, [](int) { return 0; });
    case Group::rows_stride_8:
      return by_rows(blocks, order, rule.rows, 8, [](int i) { return i % 8; });
    case Group::row_pairs_stride_8:
      return by_rows(blocks, order, rule.rows, 4, [](int i) { return i % 8 / 2; });
    case Group::block:
      return by_block(blocks, order);
    case Group::channels_16:
      break;
  }
  Grouping grouping = by_token(order);
  grouping.width = 16;
  grouping.channels = (width + 15) / 16;
  return grouping;
}

}  // namespace karat::quant
