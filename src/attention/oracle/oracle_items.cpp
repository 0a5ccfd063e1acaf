// Rows by the hundred, or by the block that holds them.
#include "oracle_items.hpp"

#include <algorithm>
#include <map>

namespace karat::attention {

std::vector<OracleItem> dense_items(std::size_t rows) {
  constexpr std::size_t kRows = 256;  // each converts all keys to f64 for itself
  std::vector<OracleItem> items;
  for (std::size_t i = 0; i < rows; ++i) {
    if (i % kRows == 0) items.emplace_back();
    items.back().rows.push_back(i);
  }
  return items;
}

std::vector<OracleItem> sparse_items(const video::TokenOrder& order,
                                     std::span<const video::Range> blocks,
                                     std::span<const std::int32_t> tokens) {
  std::map<int, OracleItem> by_block;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto after = std::upper_bound(
        blocks.begin(), blocks.end(), std::int64_t{order.position_of[tokens[i]]},
        [](std::int64_t value, const video::Range& range) { return value < range.begin; });
    const auto block = static_cast<int>(after - blocks.begin()) - 1;
    by_block[block].block = block;
    by_block[block].rows.push_back(i);
  }
  std::vector<OracleItem> items;
  for (auto& [block, item] : by_block) {
    std::ranges::sort(item.rows, {}, [&](std::size_t i) { return order.position_of[tokens[i]]; });
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace karat::attention
