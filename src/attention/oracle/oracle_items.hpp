// Private: how the oracles cut the rows they were asked for into items of work.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "karat/video/token_order.hpp"

namespace karat::attention {

/// A group of rows that share what they meet.
struct OracleItem {
  std::vector<std::size_t> rows;  ///< indices into the asked tokens
  int block = 0;                  ///< sparse only: the block that holds them
};

/// Most rows of an item, each of which converts all that it meets to f64 for itself: what leaves
/// every worker four items, but 64 at least and 1024 at most.
std::size_t rows_per_item(std::size_t rows, int threads);
std::vector<OracleItem> dense_items(std::size_t rows, std::size_t most_rows);
/// One item for each of the ascending `blocks` of positions that holds asked tokens; its
/// rows stand in the order of positions.
std::vector<OracleItem> sparse_items(const video::TokenOrder& order,
                                     std::span<const video::Range> blocks,
                                     std::span<const std::int32_t> tokens);
/// Items that follow each other and whose blocks are alike become one, up to `most_rows` rows.
std::vector<OracleItem> merged_items(std::vector<OracleItem> items, std::size_t most_rows,
                                     const std::function<bool(int, int)>& alike);

}  // namespace karat::attention
