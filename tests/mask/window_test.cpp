// The rules of sliding-tile windows, each under the name it has in the papers.
#include "karat/mask/window.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "brute_force.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using testing::Each;
using testing::ElementsAre;
using video::Extent3;
using video::tile_order;

/// Kept key tiles per query tile.
std::vector<int> tiles_seen(const Window& window, Extent3 grid) {
  const auto order = tile_order({grid, window.tile});
  const auto tiles = cut_blocks(order, static_cast<int>(window.tile.volume()), video::Align::tile);
  std::vector<int> seen;
  for (const auto& row : block_map(*window_mask(window, grid, order), tiles, tiles).rows) {
    EXPECT_TRUE(std::ranges::all_of(row, [](auto e) { return e.cover == Cover::full; }));
    seen.push_back(static_cast<int>(row.size()));
  }
  return seen;
}

Window on_w(int w, Border border, Centre centre = Centre::query) {
  return {.tile = {1, 1, 4}, .window = {1, 1, w}, .border = border, .centre = centre};
}

TEST(Window, ClampGivesExactlyMTimesWDenseBlocks) {
  for (const Extent3 grid : {Extent3{30, 48, 80}, {21, 45, 80}, {21, 30, 52}})
    EXPECT_THAT(tiles_seen({.window = {3, 3, 3}}, grid), Each(27)) << to_string(grid);
}

TEST(Window, TruncateDoesNotGiveExactlyMTimesWDenseBlocks) {
  const auto seen = tiles_seen({.window = {3, 3, 3}, .border = Border::truncate}, {30, 48, 80});
  EXPECT_EQ(seen.front(), 8);
  EXPECT_LT(std::ranges::count(seen, 27), std::ssize(seen));
}

TEST(Window, FiveTilesWindowThree) {
  EXPECT_THAT(tiles_seen(on_w(3, Border::clamp), {1, 1, 20}), ElementsAre(3, 3, 3, 3, 3));
  EXPECT_THAT(tiles_seen(on_w(3, Border::clamp, Centre::key), {1, 1, 20}),
              ElementsAre(2, 3, 5, 3, 2));
  EXPECT_THAT(tiles_seen(on_w(3, Border::truncate), {1, 1, 20}), ElementsAre(2, 3, 3, 3, 2));
}

TEST(Window, EvenWindowKeepsOneTileMoreUntilItCoversTheAxis) {
  EXPECT_THAT(tiles_seen(on_w(2, Border::clamp), {1, 1, 20}), Each(3));
  EXPECT_THAT(tiles_seen(on_w(4, Border::clamp), {1, 1, 24}), Each(5));
  EXPECT_THAT(tiles_seen(on_w(6, Border::clamp), {1, 1, 24}), Each(6));
}

TEST(Window, AtLeastTheAxisCoversTheAxis) {
  for (int w = 5; w < 14; ++w) EXPECT_THAT(tiles_seen(on_w(w, Border::clamp), {1, 1, 18}), Each(5));
}

TEST(Window, TokensByTileHalvesTheWindow) {
  // 2*T*|dc| <= W with T = 4: W = 7 sees the own tile, W = 8 one neighbour on each side.
  auto window = on_w(7, Border::truncate);
  window.unit = Unit::tokens_by_tile;
  EXPECT_THAT(tiles_seen(window, {1, 1, 20}), Each(1));
  window.window.w = 8;
  EXPECT_THAT(tiles_seen(window, {1, 1, 20}), ElementsAre(2, 3, 3, 3, 2));
}

TEST(Window, TileOfQInWindowOfTileOfKIsTheTransposeOfSlidingTileAttention) {
  const Extent3 grid{5, 9, 13};
  Window window{.tile = {2, 2, 3}, .window = {1, 3, 3}};
  const auto order = tile_order({grid, window.tile});
  for (const Border border : {Border::clamp, Border::truncate}) {
    window.border = border;
    window.centre = Centre::query;
    const auto sliding = window_mask(window, grid, order);
    window.centre = Centre::key;
    const auto written = window_mask(window, grid, order);
    std::int64_t differing = 0;
    for (std::int64_t q = 0; q < order.positions(); ++q) {
      for (std::int64_t k = 0; k < order.positions(); ++k) {
        ASSERT_EQ(written->keeps(q, k), sliding->keeps(k, q));
        differing += written->keeps(q, k) != sliding->keeps(q, k);
      }
    }
    EXPECT_EQ(differing > 0, border == Border::clamp);
  }
}

TEST(Window, TokensExactGivesPartialBlocksAndClampKeepsTheCount) {
  const Extent3 grid{4, 6, 8};
  const Window window{.tile = {2, 3, 4}, .window = {3, 3, 3}, .unit = Unit::tokens_exact};
  const auto order = tile_order({grid, window.tile});
  const auto mask = window_mask(window, grid, order);
  EXPECT_EQ(mask->kept_pairs(), grid.volume() * 3 * 3 * 3);
  EXPECT_EQ(mask->cover({0, 24}, {0, 24}), Cover::partial);
  EXPECT_EQ(mask->cover({0, 1}, {0, 1}), Cover::full);
  EXPECT_EQ(mask->cover({0, 1}, {23, 24}), Cover::none);
}

TEST(Window, HugeWindowsDoNotOverflow) {
  for (const Unit unit : {Unit::tiles, Unit::tokens_by_tile, Unit::tokens_exact}) {
    const Window window{
        .tile = {1, 1, 4}, .window = {1 << 30, 2147483647, 2147483647}, .unit = unit};
    const auto order = tile_order({{2, 3, 9}, window.tile});
    EXPECT_EQ(window_mask(window, {2, 3, 9}, order)->kept_pairs(), 54 * 54);
  }
}

TEST(Window, RefusesWhatHasNoMeaning) {
  const auto order = tile_order({{2, 2, 2}, {1, 1, 1}});
  EXPECT_THROW(window_mask({.window = {3, 0, 3}}, {2, 2, 2}, order), Error);
  EXPECT_THROW(window_mask({.tile = {0, 1, 1}}, {2, 2, 2}, order), Error);
  EXPECT_THROW(window_mask({}, {2, 2, 3}, order), Error);
}

}  // namespace
}  // namespace karat::mask
