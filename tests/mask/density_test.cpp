// Densities against published figures and against counting.
#include "karat/mask/density.hpp"

#include <gtest/gtest.h>

#include "brute_force.hpp"

namespace karat::mask {
namespace {

using video::Align;
using video::Extent3;
using video::tile_order;

Density sliding(Extent3 grid, Extent3 window) {
  const auto order = tile_order({grid, {6, 8, 8}});
  const auto mask = window_mask({.window = window}, grid, order);
  const auto map =
      block_map(*mask, cut_blocks(order, 64, Align::tile), cut_blocks(order, 128, Align::tile));
  return density(*mask, order, map, 64, 128);
}

TEST(Density, PublishedFiguresOfWindowThreeOnWan720p) {
  const Density d = sliding({21, 45, 80}, {3, 3, 3});
  EXPECT_NEAR(d.tiles, 0.1125, 1e-12);
  EXPECT_NEAR(d.tokens, 0.1227, 5e-5);
  EXPECT_NEAR(d.blocks, 0.1271, 5e-5);
}

TEST(Density, PublishedFiguresOfWindowThreeOnWan480p) {
  const Density d = sliding({21, 30, 52}, {3, 3, 3});
  EXPECT_NEAR(d.tiles, 0.2411, 5e-5);
  EXPECT_NEAR(d.tokens, 0.2716, 5e-5);
  EXPECT_NEAR(d.blocks, 0.303, 5e-4);
}

TEST(Density, EqualTilesAgreeInAllThree) {
  const Density d = sliding({30, 48, 80}, {3, 3, 3});
  const double exact = 3. / 5 * 3 / 6 * 3 / 10;  // min(2*(k//2)+1, C)/C per axis
  EXPECT_NEAR(d.tiles, exact, 1e-12);
  EXPECT_NEAR(d.tokens, exact, 1e-12);
  EXPECT_NEAR(d.blocks, exact, 1e-12);
  EXPECT_EQ(d.partial_blocks, 0);
  EXPECT_EQ(d.full_blocks, 300 * 27 * 6 * 3);
  EXPECT_NEAR(sliding({30, 48, 80}, {2, 4, 20}).tokens, 3. / 5 * 5 / 6, 1e-12);
}

TEST(Density, CountsWhatTheMatrixHolds) {
  const Extent3 grid{4, 5, 7};
  const Window window{.tile = {2, 2, 3}, .window = {3, 3, 5}, .unit = Unit::tokens_exact};
  for (const auto ragged : {video::Ragged::partial, video::Ragged::pad}) {
    const auto order = tile_order({grid, window.tile}, ragged);
    const auto mask = window_mask(window, grid, order);
    const auto matrix = window_matrix(window, grid, order);
    const auto blocks = cut_blocks(order, 5, Align::sequence);
    const Density d = density(*mask, order, block_map(*mask, blocks, blocks), 5, 5);
    std::int64_t full = 0, partial = 0, tiles = 0;
    for (const Range q : blocks)
      for (const Range k : blocks) {
        full += cover(matrix, q, k) == Cover::full;
        partial += cover(matrix, q, k) == Cover::partial;
      }
    for (const Range q : tile_ranges(order))
      for (const Range k : tile_ranges(order)) tiles += cover(matrix, q, k) != Cover::none;
    EXPECT_EQ(d.full_blocks, full);
    EXPECT_EQ(d.partial_blocks, partial);
    EXPECT_DOUBLE_EQ(d.tiles, double(tiles) / (18. * 18));
    EXPECT_DOUBLE_EQ(d.tokens, double(count(matrix)) / (140. * 140));
    EXPECT_DOUBLE_EQ(d.blocks, 25. * double(full + partial) / (140. * 140));
  }
}

}  // namespace
}  // namespace karat::mask
