// Implementation of brute_force.hpp.
#include "brute_force.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace karat::mask {

bool axis_keeps(int query, int key, int tokens, int tile, int window, Unit unit, Border border,
                Centre centre) {
  if (centre == Centre::key) std::swap(query, key);
  const bool by_token = unit == Unit::tokens_exact;
  const int q = by_token ? query : query / tile;
  const int k = by_token ? key : key / tile;
  const int cells = by_token ? tokens : (tokens + tile - 1) / tile;
  // Half the window in tiles, as a fraction: |dc| <= half  <=>  |dc| * scale <= window rounded
  // down.
  const auto near = [&](int distance) {
    if (unit == Unit::tokens_by_tile) return 2 * tile * distance <= window;
    return distance <= window / 2;
  };
  int reach = 0;
  while (reach < cells && near(reach + 1)) ++reach;
  if (border == Border::truncate) return near(std::abs(q - k));
  if (reach > cells - 1 - reach) return true;  // no centre is `reach` away from both ends
  return near(std::abs(std::clamp(q, reach, cells - 1 - reach) - k));
}

BoolMatrix window_matrix(const Window& w, video::Extent3 grid, const video::TokenOrder& order) {
  const auto size = order.token_at.size();
  BoolMatrix matrix(size, std::vector<bool>(size));
  for (std::size_t q = 0; q < size; ++q) {
    for (std::size_t k = 0; k < size; ++k) {
      if (order.token_at[q] < 0 || order.token_at[k] < 0) continue;
      const auto a = video::token_coordinate(grid, order.token_at[q]);
      const auto b = video::token_coordinate(grid, order.token_at[k]);
      matrix[q][k] =
          axis_keeps(a.t, b.t, grid.t, w.tile.t, w.window.t, w.unit, w.border, w.centre) &&
          axis_keeps(a.h, b.h, grid.h, w.tile.h, w.window.h, w.unit, w.border, w.centre) &&
          axis_keeps(a.w, b.w, grid.w, w.tile.w, w.window.w, w.unit, w.border, w.centre);
    }
  }
  return matrix;
}

std::int64_t count(const BoolMatrix& matrix) {
  std::int64_t sum = 0;
  for (const auto& row : matrix) sum += std::ranges::count(row, true);
  return sum;
}

Cover cover(const BoolMatrix& matrix, Range queries, Range keys) {
  std::int64_t kept = 0;
  for (auto q = queries.begin; q < queries.end; ++q)
    for (auto k = keys.begin; k < keys.end; ++k) kept += matrix[q][k];
  return kept == 0                              ? Cover::none
         : kept == queries.size() * keys.size() ? Cover::full
                                                : Cover::partial;
}

void expect_equal(const Mask& mask, const BoolMatrix& matrix,
                  const std::vector<Range>& query_blocks, const std::vector<Range>& key_blocks) {
  ASSERT_EQ(mask.queries(), std::ssize(matrix));
  ASSERT_EQ(mask.keys(), std::ssize(matrix.front()));
  EXPECT_EQ(mask.kept_pairs(), count(matrix));
  for (std::int64_t q = 0; q < mask.queries(); ++q)
    for (std::int64_t k = 0; k < mask.keys(); ++k)
      ASSERT_EQ(mask.keeps(q, k), matrix[q][k]) << "query " << q << ", key " << k;
  for (const Range q : query_blocks)
    for (const Range k : key_blocks)
      ASSERT_EQ(mask.cover(q, k), cover(matrix, q, k))
          << "queries " << q.begin << ".." << q.end << ", keys " << k.begin << ".." << k.end;
  const BlockMap map = block_map(mask, query_blocks, key_blocks);
  ASSERT_EQ(map.rows.size(), query_blocks.size());
  for (std::size_t i = 0; i < query_blocks.size(); ++i) {
    std::vector<Cover> row(key_blocks.size(), Cover::none);
    std::int32_t before = -1;
    for (const auto& entry : map.rows[i]) {
      ASSERT_GT(entry.key_block, before);
      before = entry.key_block;
      row[entry.key_block] = entry.cover;
    }
    for (std::size_t j = 0; j < key_blocks.size(); ++j)
      ASSERT_EQ(row[j], cover(matrix, query_blocks[i], key_blocks[j]));
  }
}

}  // namespace karat::mask
