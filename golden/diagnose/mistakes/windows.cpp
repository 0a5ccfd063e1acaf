// Mistakes about windows of tiles: an end off by one tile, a neighbour's window; and about the
// order of tiles and of the tokens inside them.
#include <algorithm>

#include "actions.hpp"
#include "karat/video/grid.hpp"

namespace karat::golden {
namespace {

using mask::Cover;
using video::Extent3;
using video::Range;

/// Larger tables of tile pairs are not made: no kernel in question has so many tiles.
constexpr int kMostTiles = 2048;

int& axis(Extent3& extent, int which) {
  return which == 0 ? extent.t : which == 1 ? extent.h : extent.w;
}

/// Whole pairs of tiles of the order.
class TilePairs final : public mask::Mask {
 public:
  TilePairs(const video::TokenOrder& order, std::vector<std::vector<bool>> kept)
      : tile_at_(order.tile_at), begin_(order.tile_begin), kept_(std::move(kept)) {}
  std::int64_t queries() const override { return begin_.back(); }
  std::int64_t keys() const override { return begin_.back(); }
  Cover cover(Range queries, Range keys) const override {
    if (queries.size() == 0 || keys.size() == 0) return Cover::none;
    bool any = false, all = true;
    for (int q = tile_at_[queries.begin]; q <= tile_at_[queries.end - 1]; ++q)
      for (int k = tile_at_[keys.begin]; k <= tile_at_[keys.end - 1]; ++k) {
        any |= kept_[q][k];
        all &= kept_[q][k];
      }
    return all ? Cover::full : any ? Cover::partial : Cover::none;
  }
  bool keeps(std::int64_t query, std::int64_t key) const override {
    return kept_[tile_at_[query]][tile_at_[key]];
  }
  std::int64_t kept_pairs() const override {
    std::int64_t pairs = 0;
    for (std::size_t q = 0; q < kept_.size(); ++q)
      for (std::size_t k = 0; k < kept_.size(); ++k)
        if (kept_[q][k]) pairs += (begin_[q + 1] - begin_[q]) * (begin_[k + 1] - begin_[k]);
    return pairs;
  }

 private:
  std::vector<std::int32_t> tile_at_;
  std::vector<std::int64_t> begin_;
  std::vector<std::vector<bool>> kept_;
};

/// Windows of whole tiles over an order of the same tiles, without padding and text.
bool windows_of_tiles(const Trial& trial) {
  const recipe::Mask& mask = trial.recipe.mask;
  const video::TokenOrder& order = trial.layout->order;
  return mask.kind == recipe::MaskKind::window && mask.order == recipe::TokenSequence::tiles &&
         mask.unit != mask::Unit::tokens_exact && mask.causal == recipe::Causal::off &&
         trial.setting.text == 0 && order.positions() == order.tokens() &&
         std::ssize(order.tile_begin) <= kMostTiles;
}

/// The key tiles that a query tile sees, axis by axis: a box.
struct Seen {
  Extent3 low, high;
};

class Windows {
 public:
  explicit Windows(const Trial& trial)
      : layout_(*trial.layout),
        tiling_(trial.setting.grid, trial.recipe.mask.tile),
        count_(tiling_.tile_count()) {}

  int tiles() const { return count_; }
  const video::Tiling& tiling() const { return tiling_; }
  bool keeps(int query, int key) const {
    return layout_.mask->keeps(layout_.order.tile_begin[query], layout_.order.tile_begin[key]);
  }
  Seen seen(int query) const {
    Seen box{.low = tiling_.tiles(), .high = {-1, -1, -1}};
    for (int key = 0; key < count_; ++key) {
      if (!keeps(query, key)) continue;
      Extent3 at = tiling_.coordinate(key);
      for (int x = 0; x < 3; ++x) {
        axis(box.low, x) = std::min(axis(box.low, x), axis(at, x));
        axis(box.high, x) = std::max(axis(box.high, x), axis(at, x));
      }
    }
    return box;
  }
  int id(Extent3 at) const { return (at.t * tiling_.tiles().h + at.h) * tiling_.tiles().w + at.w; }

 private:
  const layout::Layout& layout_;
  video::Tiling tiling_;
  int count_;
};

/// A mask by pairs of tiles takes the place of the right one.
bool replace(Trial& trial, const Windows& windows, auto&& keeps) {
  std::vector<std::vector<bool>> kept(windows.tiles(), std::vector<bool>(windows.tiles()));
  bool any = false;
  for (int q = 0; q < windows.tiles(); ++q)
    for (int k = 0; k < windows.tiles(); ++k) {
      kept[q][k] = keeps(q, k);
      any |= kept[q][k] != windows.keeps(q, k);
    }
  if (!any) return false;
  auto mask = std::make_unique<TilePairs>(trial.layout->order, std::move(kept));
  replace_mask(trial, std::move(mask));
  return true;
}

}  // namespace

bool window_ends_moved(Trial& trial, int which) {
  if (!windows_of_tiles(trial)) return false;
  const WindowEnds wrong = window_ends(which);
  const Windows windows(trial);
  std::vector<Seen> seen;
  for (int q = 0; q < windows.tiles(); ++q) {
    Seen box = windows.seen(q);
    for (int x = 0; x < 3; ++x)
      if ((wrong.axes >> x & 1) != 0) {
        axis(box.low, x) += wrong.low;
        axis(box.high, x) += wrong.high;
      }
    seen.push_back(box);
  }
  return replace(trial, windows, [&](int q, int k) {
    Extent3 at = windows.tiling().coordinate(k);
    for (int x = 0; x < 3; ++x)
      if (axis(at, x) < axis(seen[q].low, x) || axis(at, x) > axis(seen[q].high, x)) return false;
    return true;
  });
}

bool window_of_neighbour(Trial& trial, int which) {
  if (!windows_of_tiles(trial)) return false;
  const Windows windows(trial);
  const int x = which / 2, step = which % 2 == 0 ? 1 : -1;
  return replace(trial, windows, [&](int q, int k) {
    Extent3 at = windows.tiling().coordinate(q);
    Extent3 tiles = windows.tiling().tiles();
    axis(at, x) = std::clamp(axis(at, x) + step, 0, axis(tiles, x) - 1);
    return windows.keeps(windows.id(at), k);
  });
}

bool tile_list_shifted(Trial& trial, int which) {
  if (!windows_of_tiles(trial)) return false;
  const Windows windows(trial);
  const int n = windows.tiles();
  const auto next = [n](int tile) { return (tile + 1) % n; };
  const auto previous = [n](int tile) { return (tile + n - 1) % n; };
  return replace(trial, windows, [&](int q, int k) {
    switch (static_cast<TileShift>(which)) {
      case kRowOfNextTile:
        return windows.keeps(next(q), k);
      case kRowOfPreviousTile:
        return windows.keeps(previous(q), k);
      case kKeysOfNextTile:
        return windows.keeps(q, previous(k));
      case kKeysOfPreviousTile:
        return windows.keeps(q, next(k));
    }
    return false;
  });
}

/// Tiles, or the tokens inside each, stand as if two axes of the grid were exchanged, while the
/// mask takes them for right. Queries, keys and the output agree about it.
bool tiling_axes_exchanged(Trial& trial, int which) {
  const TilingFault wrong = tiling_fault(which);
  layout::Layout& layout = *trial.layout;
  const recipe::Mask& mask = trial.recipe.mask;
  if (mask.order != recipe::TokenSequence::tiles || trial.setting.text > 0) return false;
  const video::Tiling tiling(trial.setting.grid, mask.tile);
  const auto volume = static_cast<std::int64_t>(mask.tile.volume());
  if (layout.order.positions() != layout.order.tokens() ||
      layout.order.tile_at != layout.key_order.tile_at ||
      volume * tiling.tile_count() != layout.order.tokens())
    return false;
  for (int x = 0; x < 3; ++x)
    if (Extent3 grid = tiling.grid(), tile = tiling.tile(); axis(grid, x) % axis(tile, x) != 0)
      return false;
  /// Index `at` of a box, its axes `a` and `b` exchanged in the order of counting.
  const auto counted = [&](Extent3 box, std::int64_t at, bool exchanged) {
    Extent3 nested = box;
    if (exchanged) std::swap(axis(nested, wrong.a), axis(nested, wrong.b));
    Extent3 coordinate = video::token_coordinate(nested, at);
    if (exchanged) std::swap(axis(coordinate, wrong.a), axis(coordinate, wrong.b));
    return coordinate;
  };
  std::vector<std::int32_t> token_at(layout.order.token_at.size());
  for (std::int64_t i = 0; i < std::ssize(token_at); ++i) {
    const Extent3 tile = counted(tiling.tiles(), i / volume, wrong.tiles);
    const Extent3 inside = counted(mask.tile, i % volume, wrong.tokens);
    token_at[i] = static_cast<std::int32_t>(video::token_index(
        tiling.grid(), {tile.t * mask.tile.t + inside.t, tile.h * mask.tile.h + inside.h,
                        tile.w * mask.tile.w + inside.w}));
  }
  if (token_at == layout.order.token_at) return false;
  for (video::TokenOrder* order : {&layout.order, &layout.key_order}) {
    order->token_at = token_at;
    for (std::size_t i = 0; i < token_at.size(); ++i)
      order->position_of[token_at[i]] = static_cast<std::int32_t>(i);
  }
  return true;
}

}  // namespace karat::golden
