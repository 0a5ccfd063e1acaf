// Grids and ragged tiles: every token lies in exactly the tile whose box holds it.
#include "karat/video/grid.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

using testing::HasSubstr;

TEST(Grid, IndexIsRowMajorAndInvertible) {
  const Extent3 grid{3, 4, 5};
  std::int64_t index = 0;
  for (int t = 0; t < 3; ++t) {
    for (int h = 0; h < 4; ++h) {
      for (int w = 0; w < 5; ++w, ++index) {
        EXPECT_EQ(token_index(grid, {t, h, w}), index);
        EXPECT_EQ(token_coordinate(grid, index), (Extent3{t, h, w}));
      }
    }
  }
  EXPECT_EQ(index, grid.volume());
}

TEST(Tiling, EveryTokenLiesInTheBoxOfItsTileAndNoOther) {
  for (const Extent3 grid : {Extent3{1, 1, 1}, {7, 11, 13}, {6, 8, 8}, {5, 3, 17}}) {
    for (const Extent3 tile : {Extent3{1, 1, 1}, {3, 4, 4}, {6, 8, 8}, {20, 20, 20}}) {
      const Tiling tiling(grid, tile);
      std::vector<int> seen(grid.volume());
      for (int id = 0; id < tiling.tile_count(); ++id) {
        const auto [origin, size] = tiling.box(id);
        EXPECT_GT(size.volume(), 0);
        for (int t = 0; t < size.t; ++t) {
          for (int h = 0; h < size.h; ++h) {
            for (int w = 0; w < size.w; ++w) {
              const Extent3 token{origin.t + t, origin.h + h, origin.w + w};
              EXPECT_EQ(tiling.tile_of(token), id);
              EXPECT_EQ(tiling.tile_of(token_index(grid, token)), id);
              ++seen[token_index(grid, token)];
            }
          }
        }
      }
      EXPECT_THAT(seen, testing::Each(1));
    }
  }
}

TEST(Tiling, RealGridsRoundUp) {
  EXPECT_EQ(Tiling({21, 45, 80}, {6, 8, 8}).tiles(), (Extent3{4, 6, 10}));
  EXPECT_EQ(Tiling({21, 30, 52}, {6, 8, 8}).tiles(), (Extent3{4, 4, 7}));
  EXPECT_EQ(Tiling({30, 48, 80}, {6, 8, 8}).tiles(), (Extent3{5, 6, 10}));
}

TEST(Tiling, RefusesWhatHasNoMeaning) {
  const auto refuse = [](Extent3 grid, Extent3 tile, const char* text) {
    try {
      Tiling(grid, tile);
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  };
  refuse({0, 1, 1}, {1, 1, 1}, "grid: extents must be positive, got 0,1,1");
  refuse({1, 1, 1}, {1, -2, 1}, "tile: extents must be positive, got 1,-2,1");
  refuse({2048, 2048, 2048}, {1, 1, 1}, "2^31 - 1");
}

}  // namespace
}  // namespace karat::video
