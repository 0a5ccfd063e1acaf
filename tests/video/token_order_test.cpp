// Token orders are bijections that make tiles contiguous; blocks cover every position once.
#include "karat/video/token_order.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

const Extent3 kGrids[] = {{1, 1, 1}, {7, 11, 13}, {6, 8, 8}, {5, 3, 17}, {12, 16, 8}};
const Extent3 kTiles[] = {{1, 1, 1}, {3, 4, 4}, {6, 8, 8}, {20, 20, 20}};

template <typename Check>
void for_all_orders(const Check& check) {
  for (const Extent3 grid : kGrids)
    for (const Extent3 tile : kTiles)
      for (const Ragged ragged : {Ragged::partial, Ragged::pad}) {
        SCOPED_TRACE(to_string(grid) + " in " + to_string(tile));
        const Tiling tiling(grid, tile);
        check(tiling, ragged, tile_order(tiling, ragged));
      }
}

TEST(TokenOrder, IsABijectionFromTokensToUnpaddedPositions) {
  for_all_orders([](const Tiling& tiling, Ragged ragged, const TokenOrder& order) {
    ASSERT_EQ(order.tokens(), tiling.grid().volume());
    std::int64_t real = 0;
    for (std::int64_t position = 0; position < order.positions(); ++position) {
      const auto token = order.token_at[position];
      if (token < 0) continue;
      EXPECT_EQ(order.position_of[token], position);
      ++real;
    }
    EXPECT_EQ(real, order.tokens());
    const std::int64_t padded = tiling.tile_count() * tiling.tile().volume();
    EXPECT_EQ(order.positions(), ragged == Ragged::pad ? padded : order.tokens());
  });
}

TEST(TokenOrder, TilesAreContiguousAndRowMajorInside) {
  for_all_orders([](const Tiling& tiling, Ragged, const TokenOrder& order) {
    ASSERT_EQ(std::ssize(order.tile_begin), tiling.tile_count() + 1);
    EXPECT_EQ(order.tile_begin.front(), 0);
    EXPECT_EQ(order.tile_begin.back(), order.positions());
    for (int tile = 0; tile < tiling.tile_count(); ++tile) {
      std::int32_t before = -1;
      for (auto p = order.tile_begin[tile]; p < order.tile_begin[tile + 1]; ++p) {
        EXPECT_EQ(order.tile_at[p], tile);
        if (order.token_at[p] < 0) continue;
        EXPECT_EQ(tiling.tile_of(std::int64_t{order.token_at[p]}), tile);
        EXPECT_GT(order.token_at[p], before);
        before = order.token_at[p];
      }
    }
  });
}

TEST(TokenOrder, MatchesTheRearrangeOfSlidingTileAttention) {
  // (n_t ts_t n_h ts_h n_w ts_w) -> (n_t n_h n_w ts_t ts_h ts_w) on a grid that divides.
  const Extent3 grid{4, 6, 8}, tile{2, 3, 4};
  const TokenOrder order = tile_order({grid, tile});
  std::int64_t position = 0;
  for (int nt = 0; nt < 2; ++nt)
    for (int nh = 0; nh < 2; ++nh)
      for (int nw = 0; nw < 2; ++nw)
        for (int t = 0; t < 2; ++t)
          for (int h = 0; h < 3; ++h)
            for (int w = 0; w < 4; ++w)
              EXPECT_EQ(order.token_at[position++],
                        ((nt * 2 + t) * 6 + (nh * 3 + h)) * 8 + nw * 4 + w);
}

TEST(TokenOrder, UnitTilesKeepTheOriginalOrder) {
  const TokenOrder order = tile_order({{3, 4, 5}, {1, 1, 1}});
  for (int i = 0; i < 60; ++i) EXPECT_EQ(order.token_at[i], i);
}

TEST(CutBlocks, CoverEveryPositionOnceAscending) {
  for_all_orders([](const Tiling&, Ragged, const TokenOrder& order) {
    for (const Align align : {Align::tile, Align::sequence}) {
      for (const int size : {1, 5, 64, 1000}) {
        std::int64_t next = 0;
        for (const Range block : cut_blocks(order, size, align)) {
          EXPECT_EQ(block.begin, next);
          EXPECT_GT(block.size(), 0);
          EXPECT_LE(block.size(), size);
          next = block.end;
          const bool tile_ends =
              std::ranges::find(order.tile_begin, block.end) != order.tile_begin.end();
          if (align == Align::tile) {
            EXPECT_EQ(order.tile_at[block.begin], order.tile_at[block.end - 1]);
            EXPECT_TRUE(block.size() == size || tile_ends);
          } else {
            EXPECT_TRUE(block.size() == size || block.end == order.positions());
          }
        }
        EXPECT_EQ(next, order.positions());
      }
    }
  });
}

TEST(TokenOrder, TilesOfAllFramesAreTokenMajor) {
  const TokenOrder order = tile_order({{3, 2, 2}, {3, 1, 1}});
  EXPECT_THAT(order.token_at, testing::ElementsAre(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11));
}

TEST(TokenOrder, TextFollowsAsOneMoreTile) {
  const TokenOrder order = append_text(tile_order({{1, 2, 3}, {1, 1, 3}}), 2, 4);
  EXPECT_THAT(order.token_at, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, -1, -1));
  EXPECT_THAT(order.tile_at, testing::ElementsAre(0, 0, 0, 1, 1, 1, 2, 2, 2, 2));
  EXPECT_THAT(order.tile_begin, testing::ElementsAre(0, 3, 6, 10));
  EXPECT_EQ(order.tokens(), 8);
  EXPECT_EQ(order.position_of[7], 7);
  EXPECT_THROW(append_text(order, 0, 4), Error);
  EXPECT_THROW(append_text(order, 5, 4), Error);
  EXPECT_THROW(append_text(order, 5, 2147483647), Error);
}

TEST(CutBlocks, RefusesEmptyBlocks) {
  EXPECT_THROW(cut_blocks(tile_order({{1, 1, 1}, {1, 1, 1}}), 0, Align::tile), Error);
}

TEST(TokenOrder, RefusesPaddingThatExplodes) {
  EXPECT_THROW(tile_order({{100, 100, 100}, {2000, 2000, 2000}}, Ragged::pad), Error);
}

}  // namespace
}  // namespace karat::video
