// Mistakes about the order of tokens, masks, the blocks visited and the rows of the output.
#include <algorithm>
#include <numeric>

#include "actions.hpp"

namespace karat::golden {
namespace {

void untile(video::TokenOrder& order) {
  std::iota(order.token_at.begin(), order.token_at.end(), 0);
  std::iota(order.position_of.begin(), order.position_of.end(), 0);
}

}  // namespace

/// 1: queries and output, 2: keys and values, 3: all stay in the caller's order while mask and
/// blocks take them for tiled.
bool untiled(Trial& trial, int which) {
  layout::Layout& layout = *trial.layout;
  if (layout.order.token_at.size() != layout.order.position_of.size()) return false;  // padding
  if (std::is_sorted(layout.order.token_at.begin(), layout.order.token_at.end())) return false;
  if (which & 1) untile(layout.order);
  if (which & 2) untile(layout.key_order);
  return true;
}

/// The grid's axes exchanged: 0 h and w, 1 t and h, 2 t and w.
bool grid_axes_exchanged(Trial& trial, int which) {
  video::Extent3& grid = trial.setting.grid;
  if (which == 0) std::swap(grid.h, grid.w);
  if (which == 1) std::swap(grid.t, grid.h);
  if (which == 2) std::swap(grid.t, grid.w);
  return grid != trial.base.golden.grid();
}

namespace {

class KeepsAll final : public mask::Mask {
 public:
  explicit KeepsAll(std::int64_t queries, std::int64_t keys) : queries_(queries), keys_(keys) {}
  std::int64_t queries() const override { return queries_; }
  std::int64_t keys() const override { return keys_; }
  mask::Cover cover(video::Range queries, video::Range keys) const override {
    return queries.size() > 0 && keys.size() > 0 ? mask::Cover::full : mask::Cover::none;
  }
  bool keeps(std::int64_t, std::int64_t) const override { return true; }
  std::int64_t kept_pairs() const override { return queries_ * keys_; }

 private:
  std::int64_t queries_, keys_;
};

void keep_all(layout::Layout& layout) {
  for (auto& row : layout.blocks.rows)
    for (auto& entry : row) entry.cover = mask::Cover::full;
  layout.mask = std::make_unique<KeepsAll>(layout.mask->queries(), layout.mask->keys());
}

}  // namespace

bool partial_unmasked(Trial& trial, int) {
  const auto& rows = trial.layout->blocks.rows;
  const bool any = std::any_of(rows.begin(), rows.end(), [](const auto& row) {
    return std::any_of(row.begin(), row.end(),
                       [](const auto& entry) { return entry.cover == mask::Cover::partial; });
  });
  if (any) keep_all(*trial.layout);
  return any;
}

bool partial_left_out(Trial& trial, int) {
  bool any = false;
  for (auto& row : trial.layout->blocks.rows)
    any |= std::erase_if(row,
                         [](const auto& entry) { return entry.cover == mask::Cover::partial; }) > 0;
  return any;
}

/// A short block reads on into the tokens behind it.
bool short_blocks_read_on(Trial& trial, int) {
  layout::Layout& layout = *trial.layout;
  const std::int64_t positions = layout.key_order.positions();
  bool any = false;
  for (video::Range& keys : layout.blocks.key_blocks) {
    const std::int64_t end = std::min(keys.begin + trial.recipe.block.k, positions);
    any |= end != keys.end;
    keys.end = end;
  }
  if (any) keep_all(layout);
  return any;
}

bool visits_wrong(Trial& trial, int which) {
  auto& rows = trial.layout->blocks.rows;
  if (which == kNextRow) {
    std::rotate(rows.begin(), rows.begin() + 1, rows.end());
    keep_all(*trial.layout);
    return rows.size() > 1;
  }
  if (which == kPreviousRow) {
    std::rotate(rows.begin(), rows.end() - 1, rows.end());
    keep_all(*trial.layout);
    return rows.size() > 1;
  }
  if (which == kShortLeftOut) {
    const auto& blocks = trial.layout->blocks.key_blocks;
    std::size_t erased = 0;
    for (auto& row : rows)
      erased += std::erase_if(row, [&](const auto& entry) {
        return blocks[entry.key_block].size() < trial.recipe.block.k;
      });
    return erased > 0;
  }
  for (auto& row : rows) {
    if (row.size() < 2) continue;
    if (which == kLastLeftOut) row.pop_back();
    if (which == kFirstLeftOut) row.erase(row.begin());
    if (which == kLastTwice) row.push_back(row.back());
  }
  return true;
}

/// What stands in row (head, token) when the kernel wrote [B,S,H,D] and the file says [B,H,S,D].
RowSource bshd_row(const Trial& trial, RowSource row) {
  const cases::HeadShape& shape = trial.base.golden.shape();
  const std::size_t flat = row.head * shape.rows + row.token;
  return {flat % shape.heads, static_cast<std::int32_t>(flat / shape.heads)};
}

RowSource next_head_row(const Trial& trial, RowSource row) {
  return {(row.head + 1) % trial.base.golden.shape().heads, row.token};
}

RowSource previous_head_row(const Trial& trial, RowSource row) {
  const std::size_t heads = trial.base.golden.shape().heads;
  return {(row.head + heads - 1) % heads, row.token};
}

/// The output stays in the kernel's order of positions.
RowSource tiled_row(const Trial& trial, RowSource row) {
  const std::int32_t token = trial.layout->order.token_at[row.token];
  return {row.head, std::max(token, 0)};
}

/// It is put in order twice, or by the inverse of the right permutation.
RowSource inverse_row(const Trial& trial, RowSource row) {
  const auto& order = trial.layout->order;
  const std::int64_t position = order.position_of[order.position_of[row.token]];
  return {row.head, std::max(order.token_at[position], 0)};
}

RowSource reversed_row(const Trial& trial, RowSource row) {
  return {row.head, static_cast<std::int32_t>(trial.base.golden.shape().rows) - 1 - row.token};
}

}  // namespace karat::golden
