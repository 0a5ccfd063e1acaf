// Masks given as arrays: round trips, and arrays that make no sense.
#include "karat/mask/listed.hpp"

#include <gtest/gtest.h>

#include "brute_force.hpp"
#include "dice.hpp"
#include "karat/mask/window.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using video::Extent3;
using video::tile_order;

BoolMatrix random_matrix(Dice& dice, int queries, int keys, int percent) {
  BoolMatrix matrix(queries, std::vector<bool>(keys));
  for (auto& row : matrix)
    for (int k = 0; k < keys; ++k) row[k] = dice.from(1, 100) <= percent;
  return matrix;
}

TEST(BooleanMatrix, IsTheMatrix) {
  Dice dice(1);
  for (const int percent : {0, 3, 97, 100}) {
    const auto matrix = random_matrix(dice, 40, 150, percent);
    std::vector<std::uint8_t> keep;
    for (const auto& row : matrix) keep.insert(keep.end(), row.begin(), row.end());
    expect_equal(*boolean_matrix(keep, 40, 150), matrix, video::cut_range({0, 40}, 7),
                 {{0, 64}, {64, 128}, {128, 150}, {3, 9}, {60, 70}, {0, 150}, {5, 5}, {127, 129}});
  }
  EXPECT_THROW(boolean_matrix(std::vector<std::uint8_t>(7), 2, 4), Error);
  EXPECT_THROW(boolean_matrix({}, 0, 0), Error);
}

/// Every range of positions against the pairs one by one.
TEST(BlockTable, IsTheMatrixOfItsBlocks) {
  const std::vector<Range> queries{{0, 3}, {3, 4}, {4, 9}}, keys{{0, 2}, {2, 7}};
  const std::vector<std::uint8_t> keep{1, 0, 0, 1, 1, 1};
  const auto mask = block_table(queries, keys, keep);
  const auto kept = [&](std::int64_t q, std::int64_t k) {
    return keep[(q < 3 ? 0 : q < 4 ? 1 : 2) * 2 + (k < 2 ? 0 : 1)] != 0;
  };
  EXPECT_EQ(mask->kept_pairs(), 3 * 2 + 1 * 5 + 5 * 7);
  for (std::int64_t q0 = 0; q0 <= 9; ++q0)
    for (std::int64_t q1 = q0; q1 <= 9; ++q1)
      for (std::int64_t k0 = 0; k0 <= 7; ++k0)
        for (std::int64_t k1 = k0; k1 <= 7; ++k1) {
          std::int64_t count = 0;
          for (std::int64_t q = q0; q < q1; ++q)
            for (std::int64_t k = k0; k < k1; ++k) {
              EXPECT_EQ(mask->keeps(q, k), kept(q, k));
              count += kept(q, k);
            }
          const std::int64_t all = (q1 - q0) * (k1 - k0);
          EXPECT_EQ(mask->cover({q0, q1}, {k0, k1}), count == 0     ? Cover::none
                                                     : count == all ? Cover::full
                                                                    : Cover::partial);
        }
  EXPECT_THROW(block_table({{0, 3}, {4, 9}}, keys, keep), Error);
  EXPECT_THROW(block_table(queries, keys, {1, 0}), Error);
}

TEST(ListedBlocks, WithTheirMaskModAreTheMaskTheyCameFrom) {
  Dice dice(2);
  for (int i = 0; i < 40; ++i) {
    const Window window = dice.window();
    const Extent3 grid = dice.extent(4, 6, 7);
    const auto order = tile_order({grid, window.tile}, dice.pick<video::Ragged>(2));
    const auto mask = window_mask(window, grid, order);
    const auto arrays = sequence_blockmask(*mask, dice.from(1, 30), dice.from(1, 30));
    const auto listed = listed_blocks(arrays, order.positions(), order.positions(),
                                      window_mask(window, grid, order));
    expect_equal(*listed, window_matrix(window, grid, order), dice.blocks(order),
                 dice.blocks(order));
    ASSERT_FALSE(HasFailure()) << i;
  }
}

/// Two by two blocks of 4 over 7 positions: (0,0) full, (0,1) and (1,1) partial.
BlockMask small_arrays() {
  return {.query_block = 4,
          .key_block = 4,
          .query_blocks = 2,
          .key_blocks = 2,
          .kv_num_blocks = {1, 1},
          .kv_indices = {1, 0, 1, 0},
          .full_kv_num_blocks = {1, 0},
          .full_kv_indices = {0, 1, 0, 1}};
}

TEST(ListedBlocks, WithoutAMaskModPartialBlocksAreKept) {
  const auto mask = listed_blocks(small_arrays(), 7, 7);
  EXPECT_EQ(mask->kept_pairs(), 16 + 12 + 9);
  EXPECT_EQ(mask->cover({0, 4}, {0, 7}), Cover::full);
  EXPECT_EQ(mask->cover({0, 5}, {0, 7}), Cover::partial);
  EXPECT_EQ(mask->cover({4, 7}, {0, 4}), Cover::none);
}

TEST(ListedBlocks, RefuseArraysThatMakeNoSense) {
  const auto refused = [](auto spoil, std::int64_t positions = 7) {
    BlockMask arrays = small_arrays();
    spoil(arrays);
    try {
      listed_blocks(arrays, positions, positions);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output);
    }
  };
  refused([](BlockMask& a) { a.kv_num_blocks[0] = 3; });
  refused([](BlockMask& a) { a.kv_num_blocks[0] = -1; });
  refused([](BlockMask& a) { a.kv_indices[0] = 2; });
  refused([](BlockMask& a) { a.kv_indices[0] = -1; });
  refused([](BlockMask& a) { a.kv_indices[0] = 0; });  // (0,0) is listed as full, too
  refused([](BlockMask& a) { a.kv_indices.pop_back(); });
  refused([](BlockMask& a) { a.full_kv_num_blocks.pop_back(); });
  refused([](BlockMask& a) { a.query_block = 0; });
  refused([](BlockMask&) {}, 9);
  refused([](BlockMask&) {}, 4);
  const auto order = tile_order({{1, 1, 3}, {1, 1, 1}});
  EXPECT_THROW(listed_blocks(small_arrays(), 7, 7, dense_mask(order)), Error);
}

}  // namespace
}  // namespace karat::mask
