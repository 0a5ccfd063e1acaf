// Implementation of video/token_order.hpp.
#include "karat/video/token_order.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

bool inside(Extent3 coordinate, Extent3 grid) {
  return coordinate.t < grid.t && coordinate.h < grid.h && coordinate.w < grid.w;
}

/// Appends the positions of one tile.
void append_tile(TokenOrder& order, const Tiling& tiling, int tile, Ragged ragged) {
  const auto [origin, size] = tiling.box(tile);
  const Extent3 span = ragged == Ragged::pad ? tiling.tile() : size;
  for (int t = 0; t < span.t; ++t) {
    for (int h = 0; h < span.h; ++h) {
      for (int w = 0; w < span.w; ++w) {
        const bool real = inside({t, h, w}, size);
        const auto token = static_cast<std::int32_t>(
            real ? token_index(tiling.grid(), {origin.t + t, origin.h + h, origin.w + w}) : -1);
        if (real) order.position_of[token] = static_cast<std::int32_t>(order.token_at.size());
        order.token_at.push_back(token);
        order.tile_at.push_back(tile);
      }
    }
  }
  order.tile_begin.push_back(order.positions());
}

}  // namespace

TokenOrder tile_order(const Tiling& tiling, Ragged ragged) {
  const auto tokens = static_cast<std::size_t>(tiling.grid().volume());
  double positions = static_cast<double>(tokens);
  if (ragged == Ragged::pad) {
    const auto [t, h, w] = tiling.tile();
    positions = double{1} * tiling.tile_count() * t * h * w;
  }
  if (positions > std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::usage, "tile",
                to_string(tiling.tile()) + " pads the grid " + to_string(tiling.grid()) +
                    " to more than 2^31 - 1 positions",
                "use a smaller tile");
  constexpr double kRoom = 1 << 20, kMostPadding = 16;  // of every token, beyond that room
  if (positions > kRoom && positions > kMostPadding * static_cast<double>(tokens))
    throw Error(ErrorKind::usage, "tile",
                to_string(tiling.tile()) + " pads the " + std::to_string(tokens) +
                    " tokens of grid " + to_string(tiling.grid()) + " to " +
                    std::to_string(static_cast<std::int64_t>(positions)) +
                    " positions, more than 16 times as many",
                "use a smaller tile, or ragged: partial");
  TokenOrder order;
  order.position_of.resize(tokens);
  order.token_at.reserve(static_cast<std::size_t>(positions));
  order.tile_at.reserve(static_cast<std::size_t>(positions));
  order.tile_begin.push_back(0);
  for (int tile = 0; tile < tiling.tile_count(); ++tile) append_tile(order, tiling, tile, ragged);
  return order;
}

TokenOrder append_text(TokenOrder order, int text, int padded) {
  if (text <= 0 || padded < text)
    throw Error(ErrorKind::usage, "text",
                std::to_string(text) + " tokens in " + std::to_string(padded) + " positions",
                "give at least one token and room for all");
  if (order.positions() + padded > std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::usage, "text", "more than 2^31 - 1 positions", "use a smaller grid");
  const auto tile = static_cast<std::int32_t>(order.tile_begin.size() - 1);
  for (int i = 0; i < padded; ++i) {
    const auto token = static_cast<std::int32_t>(i < text ? order.tokens() : -1);
    if (i < text) order.position_of.push_back(static_cast<std::int32_t>(order.positions()));
    order.token_at.push_back(token);
    order.tile_at.push_back(tile);
  }
  order.tile_begin.push_back(order.positions());
  return order;
}

bool is_own_order(const TokenOrder& order) {
  if (order.positions() != order.tokens()) return false;
  for (std::int64_t i = 0; i < order.positions(); ++i)
    if (order.token_at[i] != i) return false;
  return true;
}

std::vector<Range> cut_range(Range range, int size) {
  if (size <= 0)
    throw Error(ErrorKind::usage, "block", "size must be positive, got " + std::to_string(size),
                "give a block size such as 64 or 128");
  std::vector<Range> blocks;
  for (std::int64_t begin = range.begin; begin < range.end; begin += size)
    blocks.push_back({begin, std::min(begin + size, range.end)});
  return blocks;
}

std::vector<Range> tile_ranges(const TokenOrder& order) {
  std::vector<Range> tiles;
  for (std::size_t tile = 0; tile + 1 < order.tile_begin.size(); ++tile)
    tiles.push_back({order.tile_begin[tile], order.tile_begin[tile + 1]});
  return tiles;
}

std::vector<Range> cut_blocks(const TokenOrder& order, int size, Align align) {
  if (align == Align::sequence) return cut_range({0, order.positions()}, size);
  std::vector<Range> blocks;
  for (const Range tile : tile_ranges(order))
    std::ranges::copy(cut_range(tile, size), std::back_inserter(blocks));
  return blocks;
}

}  // namespace karat::video
