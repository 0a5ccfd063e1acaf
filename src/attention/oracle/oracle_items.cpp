// Rows by the hundred, or by the block that holds them.
#include "oracle_items.hpp"

#include <algorithm>
#include <map>

namespace karat::attention {

std::size_t rows_per_item(std::size_t rows, int threads) {
  return std::clamp<std::size_t>(rows / (4 * static_cast<std::size_t>(threads)), 64, 1024);
}

std::vector<OracleItem> dense_items(std::size_t rows, std::size_t most_rows) {
  std::vector<OracleItem> items;
  for (std::size_t i = 0; i < rows; ++i) {
    if (i % most_rows == 0) items.emplace_back();
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

std::vector<OracleItem> merged_items(std::vector<OracleItem> items, std::size_t most_rows,
                                     const std::function<bool(int, int)>& alike) {
  std::vector<OracleItem> merged;
  for (OracleItem& item : items) {
    if (merged.empty() || merged.back().rows.size() + item.rows.size() > most_rows ||
        !alike(merged.back().block, item.block))
      merged.push_back(std::move(item));
    else
      merged.back().rows.insert(merged.back().rows.end(), item.rows.begin(), item.rows.end());
  }
  return merged;
}

}  // namespace karat::attention
