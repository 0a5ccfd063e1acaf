// BlockMask arrays against create_block_mask's rule: pad with False, then some, all or none.
#include "karat/mask/blockmask.hpp"

#include <gtest/gtest.h>

#include "brute_force.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using video::Extent3;
using video::tile_order;

/// Cover of a block of the matrix padded with False.
Cover padded_cover(const BoolMatrix& matrix, int i, int j, int size) {
  int kept = 0;
  for (int q = i * size; q < (i + 1) * size; ++q)
    for (int k = j * size; k < (j + 1) * size; ++k)
      kept += q < std::ssize(matrix) && k < std::ssize(matrix) && matrix[q][k];
  return kept == 0 ? Cover::none : kept == size * size ? Cover::full : Cover::partial;
}

TEST(BlockMask, FollowsThePaddedGrid) {
  for (const Unit unit : {Unit::tiles, Unit::tokens_exact}) {
    const Extent3 grid{5, 7, 9};
    const Window window{.tile = {2, 3, 4}, .window = {3, 3, 7}, .unit = unit};
    const auto order = tile_order({grid, window.tile});
    const auto matrix = window_matrix(window, grid, order);
    constexpr int kSize = 4, kBlocks = 79;  // 315 positions: the last block holds 3
    const BlockMask mask = sequence_blockmask(*window_mask(window, grid, order), kSize, kSize);
    ASSERT_EQ(mask.query_blocks, kBlocks);
    ASSERT_EQ(mask.key_blocks, kBlocks);
    ASSERT_EQ(mask.kv_num_blocks.size(), std::size_t{kBlocks});
    ASSERT_EQ(mask.kv_indices.size(), std::size_t{kBlocks} * kBlocks);
    ASSERT_EQ(mask.full_kv_indices.size(), std::size_t{kBlocks} * kBlocks);
    int full_blocks = 0;
    for (int i = 0; i < kBlocks; ++i) {
      int partial = 0, full = 0;
      for (int j = 0; j < kBlocks; ++j) {
        const Cover cover = padded_cover(matrix, i, j, kSize);
        if (cover == Cover::partial) {
          EXPECT_EQ(mask.kv_indices[i * kBlocks + partial++], j);
        } else if (cover == Cover::full) {
          EXPECT_EQ(mask.full_kv_indices[i * kBlocks + full++], j);
        }
      }
      EXPECT_EQ(mask.kv_num_blocks[i], partial);
      EXPECT_EQ(mask.full_kv_num_blocks[i], full);
      full_blocks += full;
    }
    EXPECT_GT(full_blocks, 0);
  }
}

TEST(BlockMask, EntriesBeyondTheCountAreTheOtherBlocks) {
  const auto order = tile_order({{1, 1, 12}, {1, 1, 4}});
  const Window window{.tile = {1, 1, 4}, .window = {1, 1, 1}};
  const BlockMask mask = sequence_blockmask(*window_mask(window, {1, 1, 12}, order), 4, 4);
  EXPECT_EQ(mask.full_kv_indices, (std::vector<std::int32_t>{0, 1, 2, 1, 0, 2, 2, 0, 1}));
  EXPECT_EQ(mask.full_kv_num_blocks, (std::vector<std::int32_t>{1, 1, 1}));
  EXPECT_EQ(mask.kv_num_blocks, (std::vector<std::int32_t>{0, 0, 0}));
  EXPECT_EQ(mask.kv_indices, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

TEST(BlockMask, SlidingTilesOf384GiveNoPartialBlocksAndTilesOf48GiveMany) {
  const auto partial = [](Extent3 tile) {
    const Extent3 grid{30, 48, 80};
    const auto order = tile_order({grid, tile});
    const auto mask = sequence_blockmask(*window_mask({.tile = tile}, grid, order));
    std::int64_t sum = 0;
    for (const auto count : mask.kv_num_blocks) sum += count;
    return sum;
  };
  EXPECT_EQ(partial({6, 8, 8}), 0);
  EXPECT_GT(partial({3, 4, 4}), 1000);
}

TEST(BlockMask, RefusesBlocksLongerThanStated) {
  const auto order = tile_order({{1, 1, 12}, {1, 1, 4}});
  const auto blocks = cut_blocks(order, 6, video::Align::sequence);
  const auto map = block_map(*dense_mask(order), blocks, blocks);
  EXPECT_THROW(to_blockmask(map, 6, 4), Error);
  EXPECT_THROW(to_blockmask(map, 4, 6), Error);
  EXPECT_NO_THROW(to_blockmask(map, 6, 6));
}

}  // namespace
}  // namespace karat::mask
