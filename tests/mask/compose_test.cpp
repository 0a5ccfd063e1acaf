// Text, causal order and bands against boolean matrices, and the rules by name.
#include "karat/mask/compose.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "brute_force.hpp"
#include "dice.hpp"
#include "karat/mask/window.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using video::append_text;
using video::Extent3;
using video::tile_order;

constexpr Extent3 kGrid{3, 4, 5};

TEST(Text, ImageQueriesAlwaysSeeItTextSeesEverythingAndPaddingIsNeverSeen) {
  const Window window{.tile = {1, 2, 2}, .window = {1, 1, 1}};
  const auto video = tile_order({kGrid, window.tile});
  const auto order = append_text(video, 3, 8);
  const auto mask = with_text(window_mask(window, kGrid, video), order);
  for (int text = 60; text < 63; ++text) {
    for (int p = 0; p < 63; ++p) {
      EXPECT_TRUE(mask->keeps(p, text));
      EXPECT_TRUE(mask->keeps(text, p));
    }
    for (int padding = 63; padding < 68; ++padding) {
      EXPECT_FALSE(mask->keeps(text, padding));
      EXPECT_FALSE(mask->keeps(padding, text));
      EXPECT_FALSE(mask->keeps(0, padding));
    }
  }
  EXPECT_FALSE(mask->keeps(0, 59));
}

TEST(Text, NeedsAnOrderThatHasSome) {
  const auto video = tile_order({kGrid, {1, 2, 2}});
  EXPECT_THROW(with_text(dense_mask(video), video), Error);
}

TEST(Causal, IsTheLowerTriangleByPosition) {
  const auto order = tile_order({{1, 1, 9}, {1, 1, 1}});
  const auto mask = causal(dense_mask(order));
  for (int q = 0; q < 9; ++q)
    for (int k = 0; k < 9; ++k) EXPECT_EQ(mask->keeps(q, k), k <= q);
  EXPECT_EQ(mask->kept_pairs(), 45);
  EXPECT_EQ(mask->cover({4, 6}, {0, 5}), Cover::full);
  EXPECT_EQ(mask->cover({4, 6}, {0, 6}), Cover::partial);
  EXPECT_EQ(mask->cover({4, 6}, {6, 9}), Cover::none);
}

TEST(Band, SpatialIsABandAndTheFirstFramesColumns) {
  const auto order = tile_order({{4, 2, 3}, {1, 1, 1}});
  const auto mask = band(dense_mask(order), 7, 6);
  for (int q = 0; q < 24; ++q)
    for (int k = 0; k < 24; ++k) EXPECT_EQ(mask->keeps(q, k), k < 6 || std::abs(q - k) <= 7);
}

TEST(Band, TemporalIsTheSameBandInTokenMajorOrder) {
  const Extent3 grid{4, 2, 3};
  const auto order = tile_order({grid, {4, 1, 1}});
  const auto mask = band(dense_mask(order), 3, 0);
  const auto kept = [&](Extent3 q, Extent3 k) {
    return mask->keeps(order.position_of[token_index(grid, q)],
                       order.position_of[token_index(grid, k)]);
  };
  EXPECT_TRUE(kept({0, 1, 1}, {3, 1, 1}));
  EXPECT_FALSE(kept({0, 0, 1}, {0, 1, 1}));
}

TEST(Band, WidthIsRoundedUpTo128) {
  EXPECT_EQ(band_width(1, 1560), 1664);
  EXPECT_EQ(band_width(2, 64), 128);
  EXPECT_EQ(band_width(1.01, 128), 256);
  EXPECT_THROW(band_width(0, 10), Error);
  EXPECT_THROW(band_width(NAN, 10), Error);
  EXPECT_THROW(band_width(INFINITY, 10), Error);
  EXPECT_THROW(band(dense_mask(tile_order({kGrid, {1, 1, 1}})), -1, 0), Error);
}

class RandomComposition : public testing::TestWithParam<int> {};

TEST_P(RandomComposition, EqualsTheBooleanMatrix) {
  Dice dice(GetParam());
  for (int i = 0; i < 40; ++i) {
    const Window window = dice.window();
    const Extent3 grid = dice.extent(4, 6, 7);
    const auto video = tile_order({grid, window.tile}, dice.pick<video::Ragged>(2));
    auto order = video;
    auto mask = window_mask(window, grid, video);
    auto matrix = window_matrix(window, grid, video);
    if (dice.from(0, 1) == 1) {
      const int text = dice.from(1, 9);
      order = append_text(video, text, text + dice.from(0, 9));
      mask = with_text(std::move(mask), order);
      matrix.resize(order.positions());
      for (std::int64_t q = 0; q < order.positions(); ++q) {
        matrix[q].resize(order.positions());
        for (std::int64_t k = 0; k < order.positions(); ++k)
          if (q >= video.positions() || k >= video.positions())
            matrix[q][k] = order.token_at[q] >= 0 && order.token_at[k] >= 0;
      }
    }
    const int kind = dice.from(0, 2), width = dice.from(0, 90), always = dice.from(0, 40);
    if (kind == 1) mask = causal(std::move(mask));
    if (kind == 2) mask = band(std::move(mask), width, always);
    for (int q = 0; q < std::ssize(matrix); ++q) {
      for (int k = 0; k < std::ssize(matrix); ++k) {
        if (kind == 1 && k > q) matrix[q][k] = false;
        if (kind == 2 && k >= always && std::abs(q - k) > width) matrix[q][k] = false;
      }
    }
    expect_equal(*mask, matrix, dice.blocks(order), dice.blocks(order));
    if (HasFailure()) FAIL() << "composition " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomComposition, testing::Range(1, 6));

}  // namespace
}  // namespace karat::mask
