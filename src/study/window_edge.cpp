// Walks from the query outwards along each axis until the mask drops a key.
#include "window_edge.hpp"

#include <algorithm>

namespace karat::study {

double window_edge(const recipe::Mask& mask, const layout::Layout& layout, std::int32_t token) {
  const video::Extent3 grid = layout.grid;
  const int across = grid.t + grid.h + grid.w;
  if (mask.kind == recipe::MaskKind::none) return across;
  const video::Extent3 at = video::token_coordinate(grid, token);
  const std::int64_t query = layout.order.position_of[token];
  int nearest = across;
  for (const auto axis : {&video::Extent3::t, &video::Extent3::h, &video::Extent3::w})
    for (const int direction : {-1, 1})
      for (int away = 1; away < nearest; ++away) {
        video::Extent3 key = at;
        key.*axis += direction * away;
        if (key.*axis < 0 || key.*axis >= grid.*axis) break;
        if (layout.mask->keeps(query, layout.key_order.position_of[video::token_index(grid, key)]))
          continue;
        nearest = away;
        break;
      }
  return nearest;
}

}  // namespace karat::study
