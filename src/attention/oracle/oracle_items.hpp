// Private: how the oracles cut the rows they were asked for into items of work.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/video/token_order.hpp"

namespace karat::attention {

/// A group of rows that share what they meet.
struct OracleItem {
  std::vector<std::size_t> rows;  ///< indices into the asked tokens
  int block = 0;                  ///< sparse only: the block that holds them
};

std::vector<OracleItem> dense_items(std::size_t rows);
/// One item for each of the ascending `blocks` of positions that holds asked tokens; its
/// rows stand in the order of positions.
std::vector<OracleItem> sparse_items(const video::TokenOrder& order,
                                     std::span<const video::Range> blocks,
                                     std::span<const std::int32_t> tokens);

}  // namespace karat::attention
