// Which scale group each position belongs to.
#include "karat/quant/quantise.hpp"

namespace karat::quant {

Grouping group_positions(const Rule& rule, video::Extent3 grid, const video::TokenOrder& order,
                         std::size_t channels) {
  Grouping grouping{.kind = rule.group, .row_group = {}, .count = 1};
  if (rule.group == Group::channel) {
    grouping.count = static_cast<std::int32_t>(channels);
    return grouping;
  }
  grouping.row_group.assign(order.token_at.size(), 0);
  if (rule.group == Group::tensor) return grouping;

  if (rule.group == Group::token) {
    grouping.count = static_cast<std::int32_t>(order.tokens());
    for (std::size_t i = 0; i < order.token_at.size(); ++i)
      if (order.token_at[i] >= 0) grouping.row_group[i] = order.token_at[i];
    return grouping;
  }
  const video::Tiling tiles(grid, rule.tile);
  grouping.count = tiles.tile_count();
  for (std::size_t i = 0; i < order.token_at.size(); ++i)
    if (order.token_at[i] >= 0) grouping.row_group[i] = tiles.tile_of(order.token_at[i]);
  return grouping;
}

}  // namespace karat::quant
