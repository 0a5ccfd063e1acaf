// Blocks, visits and scale groups of a launch.
#include "karat/layout/layout.hpp"

#include <algorithm>
#include <utility>

#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::layout {
namespace {

using Entry = mask::BlockMap::Entry;

/// FlexAttention's view of an entry: the cover of the `listed` x `listed` block around it, partial
/// wherever that sticks out of the sequence.
mask::Cover listed_cover(const mask::Mask& mask, video::Range queries, video::Range keys,
                         int listed) {
  const auto around = [listed](video::Range range) {
    const std::int64_t begin = range.begin / listed * listed;
    return video::Range{begin, begin + listed};
  };
  const video::Range q = around(queries), k = around(keys);
  if (q.end > mask.queries() || k.end > mask.keys()) return mask::Cover::partial;
  return mask.cover(q, k);
}

void partial_then_full(Layout& layout, int listed) {
  for (std::size_t i = 0; i < layout.blocks.rows.size(); ++i) {
    auto& row = layout.blocks.rows[i];
    std::stable_partition(row.begin(), row.end(), [&](const Entry& entry) {
      const mask::Cover cover =
          listed == 0 ? entry.cover
                      : listed_cover(*layout.mask, layout.blocks.query_blocks[i],
                                     layout.blocks.key_blocks[entry.key_block], listed);
      return cover == mask::Cover::partial;
    });
  }
}

/// Puts each row's entries into the order of its list.
void as_given(mask::BlockMap& blocks, const std::vector<std::vector<std::int32_t>>& lists) {
  if (lists.size() != blocks.rows.size())
    throw Error(ErrorKind::usage, "block.order",
                std::to_string(lists.size()) + " lists of visits for " +
                    std::to_string(blocks.rows.size()) + " query blocks",
                "give one list per query block");
  for (std::size_t i = 0; i < lists.size(); ++i) {
    std::vector<Entry> row;
    for (const std::int32_t block : lists[i]) {
      const auto found = std::ranges::find(blocks.rows[i], block, &Entry::key_block);
      if (found != blocks.rows[i].end()) row.push_back(*found);
    }
    auto visited = row;
    std::ranges::sort(visited, {}, &Entry::key_block);
    if (!std::ranges::equal(visited, blocks.rows[i], {}, &Entry::key_block, &Entry::key_block))
      throw Error(ErrorKind::usage, "block.order",
                  "the list of query block " + std::to_string(i) +
                      " does not name every kept key block exactly once",
                  "list the blocks of the mask");
    blocks.rows[i] = std::move(row);
  }
}

void order_visits(Layout& layout, const recipe::Block& block, const Setting& setting) {
  switch (block.order) {
    case recipe::KeyOrder::ascending:
      return;
    case recipe::KeyOrder::descending:
      for (auto& row : layout.blocks.rows) std::reverse(row.begin(), row.end());
      return;
    case recipe::KeyOrder::partial_then_full:
      return partial_then_full(layout, block.listed);
    case recipe::KeyOrder::given:
      return as_given(layout.blocks, setting.given_order);
  }
}

}  // namespace

MeanRanges mean_ranges(const recipe::Recipe& recipe, const video::TokenOrder& order) {
  if (recipe.predict.unit == recipe::PredictUnit::tiles)
    return {video::tile_ranges(order), video::tile_ranges(order)};
  return {cut_blocks(order, recipe.block.q, recipe.block.align),
          cut_blocks(order, recipe.block.k, recipe.block.align)};
}

Layout make_layout(const recipe::Recipe& recipe, const Setting& setting, Arrangement arrangement) {
  Layout layout;
  layout.grid = setting.grid;
  layout.channels = setting.channels;
  layout.order = std::move(arrangement.order);
  layout.key_order = std::move(arrangement.key_order);
  layout.mask = std::move(arrangement.mask);
  layout.blocks =
      mask::block_map(*layout.mask, cut_blocks(layout.order, recipe.block.q, recipe.block.align),
                      cut_blocks(layout.key_order, recipe.block.k, recipe.block.align));
  order_visits(layout, recipe.block, setting);
  const auto groups = [&](const recipe::Operand& rule, const video::TokenOrder& order,
                          const std::vector<video::Range>& blocks) {
    return quant::group_positions(rule, setting.grid, order, blocks, setting.channels);
  };
  layout.q_groups = groups(recipe.q, layout.order, layout.blocks.query_blocks);
  layout.k_groups = groups(recipe.k, layout.key_order, layout.blocks.key_blocks);
  layout.v_groups = groups(recipe.v, layout.key_order, layout.blocks.key_blocks);
  layout.branch = recipe.branch;
  if (recipe.branch.kind == recipe::BranchKind::coarse)
    layout.means = mean_ranges(recipe, layout.order);
  return layout;
}

Layout make_layout(const recipe::Recipe& recipe, const Setting& setting) {
  if (recipe.predict.rule != recipe::PredictRule::never)
    throw Error(ErrorKind::usage, "predict.rule", "the mask depends on Q and K of each head",
                "give a recipe with predict.rule never where there is no head");
  return make_layout(recipe, setting, arrange(recipe.mask, setting));
}

Layout make_layout(const recipe::Recipe& recipe, video::Extent3 grid, std::size_t channels) {
  return make_layout(recipe, {.grid = grid, .channels = channels});
}

double Layout::multiply_adds() const {
  double pairs = 0;
  for (std::size_t i = 0; i < blocks.rows.size(); ++i)
    for (const auto& entry : blocks.rows[i])
      pairs += static_cast<double>(blocks.query_blocks[i].size()) *
               static_cast<double>(blocks.key_blocks[entry.key_block].size());
  return 2 * pairs * static_cast<double>(channels);
}

}  // namespace karat::layout
