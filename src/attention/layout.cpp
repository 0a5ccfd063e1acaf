// Order, mask, blocks and groups of a launch.
#include "karat/attention/layout.hpp"

#include <algorithm>

#include "karat/mask/window.hpp"

namespace karat::attention {
namespace {

std::unique_ptr<mask::Mask> make_mask(const recipe::Mask& spec, video::Extent3 grid,
                                      const video::TokenOrder& order) {
  if (spec.kind == recipe::MaskKind::none) return mask::dense_mask(order);
  return mask::window_mask({.tile = spec.tile,
                            .window = spec.window,
                            .unit = spec.unit,
                            .border = spec.border,
                            .centre = spec.centre},
                           grid, order);
}

void arrange(std::vector<mask::BlockMap::Entry>& row, recipe::KeyOrder order) {
  switch (order) {
    case recipe::KeyOrder::ascending:
      break;
    case recipe::KeyOrder::descending:
      std::reverse(row.begin(), row.end());
      break;
    case recipe::KeyOrder::partial_then_full:
      std::stable_partition(row.begin(), row.end(),
                            [](const auto& entry) { return entry.cover == mask::Cover::partial; });
      break;
  }
}

}  // namespace

Layout make_layout(const recipe::Recipe& recipe, video::Extent3 grid, std::size_t channels) {
  Layout layout;
  layout.grid = grid;
  layout.channels = channels;
  layout.order = video::tile_order(video::Tiling(grid, recipe.mask.tile), recipe.mask.ragged);
  layout.mask = make_mask(recipe.mask, grid, layout.order);
  layout.blocks =
      mask::block_map(*layout.mask, cut_blocks(layout.order, recipe.block.q, recipe.block.align),
                      cut_blocks(layout.order, recipe.block.k, recipe.block.align));
  for (auto& row : layout.blocks.rows) arrange(row, recipe.block.order);
  layout.q_groups =
      quant::group_positions(recipe.q, grid, layout.order, layout.blocks.query_blocks, channels);
  layout.k_groups =
      quant::group_positions(recipe.k, grid, layout.order, layout.blocks.key_blocks, channels);
  layout.v_groups =
      quant::group_positions(recipe.v, grid, layout.order, layout.blocks.key_blocks, channels);
  return layout;
}

double Layout::multiply_adds() const {
  double pairs = 0;
  for (std::size_t i = 0; i < blocks.rows.size(); ++i)
    for (const auto& entry : blocks.rows[i])
      pairs += static_cast<double>(blocks.query_blocks[i].size()) *
               static_cast<double>(blocks.key_blocks[entry.key_block].size());
  return 2 * pairs * static_cast<double>(channels);
}

}  // namespace karat::attention
