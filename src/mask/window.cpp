// Implementation of mask/window.hpp: a product of three axis windows, asked in position space.
#include "karat/mask/window.hpp"

#include <algorithm>
#include <array>

#include "count.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using video::Extent3;

/// Coordinates begin..end-1 on one axis.
struct CellRange {
  int begin = 0;
  int end = 0;
};

CellRange around(int centre, int radius, int cells) {
  return {std::max(centre - radius, 0), std::min(centre + radius + 1, cells)};
}

/// The interval of queries per key, turned into the interval of keys per query.
std::vector<CellRange> transposed(const std::vector<CellRange>& rows) {
  const int cells = static_cast<int>(rows.size());
  std::vector<CellRange> columns(rows.size(), CellRange{cells, 0});
  for (int row = 0; row < cells; ++row) {
    for (int column = rows[row].begin; column < rows[row].end; ++column) {
      columns[column].begin = std::min(columns[column].begin, row);
      columns[column].end = std::max(columns[column].end, row + 1);
    }
  }
  return columns;
}

/// A window on one axis: per query coordinate the interval of key coordinates it sees. Windows are
/// products of three axes, so everything about them is decided here, one axis at a time.
/// Both interval ends never decrease with the query coordinate, no interval is empty and neighbours
/// overlap or touch; so a run of queries sees one interval, and cover() needs only its two ends.
class AxisWindow {
 public:
  /// @param cells  coordinates on the axis: tiles, or tokens for Unit::tokens_exact
  /// @param radius the farthest |distance| seen; under clamp the centre is moved to
  ///               clamp(c, radius, cells-1-radius), and 2*radius+1 >= cells covers the axis
  AxisWindow(int cells, int radius, Border border, Centre centre) {
    radius = std::min(radius, cells);  // sees everything from anywhere; keeps sums below in range
    const bool covers = border == Border::clamp && 2 * radius + 1 >= cells;
    for (int c = 0; c < cells; ++c) {
      const int middle =
          border == Border::clamp && !covers ? std::clamp(c, radius, cells - 1 - radius) : c;
      seen_.push_back(covers ? CellRange{0, cells} : around(middle, radius, cells));
    }
    if (centre == Centre::key) seen_ = transposed(seen_);
  }

  CellRange seen(int query) const { return seen_[query]; }
  int cells() const { return static_cast<int>(seen_.size()); }
  bool some(CellRange queries, CellRange keys) const {
    return keys.begin < seen_[queries.end - 1].end && seen_[queries.begin].begin < keys.end;
  }
  bool all(CellRange queries, CellRange keys) const {
    return seen_[queries.end - 1].begin <= keys.begin && keys.end <= seen_[queries.begin].end;
  }

 private:
  std::vector<CellRange> seen_;
};

/// A box of window cells (tiles, or tokens for Unit::tokens_exact).
struct CellBox {
  CellRange t, h, w;
  void extend(const CellBox& other) { extend(t, other.t), extend(h, other.h), extend(w, other.w); }
  std::int64_t volume() const {
    return std::int64_t{t.end - t.begin} * (h.end - h.begin) * (w.end - w.begin);
  }

 private:
  static void extend(CellRange& mine, CellRange other) {
    mine = {std::min(mine.begin, other.begin), std::max(mine.end, other.end)};
  }
};

/// Consecutive positions without padding whose cells are one cell (tile units) or a piece of one
/// row of tokens: the cell's w grows by `step` = 0 or 1 a position.
struct Piece {
  std::int64_t begin, end;
  Extent3 cell;  ///< of the first position
};

int radius(int window, int tile, Unit unit) {
  return unit == Unit::tokens_by_tile ? static_cast<int>(window / (std::int64_t{2} * tile))
                                      : window / 2;
}

class WindowMask final : public Mask {
 public:
  WindowMask(const Window& window, Extent3 grid, const video::TokenOrder& order)
      : tiling_(grid, window.unit == Unit::tokens_exact ? Extent3{1, 1, 1} : window.tile),
        step_(window.unit == Unit::tokens_exact ? 1 : 0),
        t_(axis(window, &Extent3::t)),
        h_(axis(window, &Extent3::h)),
        w_(axis(window, &Extent3::w)) {
    cut_pieces(order);
  }

  std::int64_t queries() const override { return static_cast<std::int64_t>(piece_at_.size()); }
  std::int64_t keys() const override { return queries(); }

  Cover cover(Range q, Range k) const override {
    const Area query = area(q), key = area(k);
    if (query.tokens == 0 || key.tokens == 0 || !some(query.bounds, key.bounds)) return Cover::none;
    const bool padded = query.tokens < q.size() || key.tokens < k.size();
    if (!padded && all(query.bounds, key.bounds)) return Cover::full;
    if (query.exact && key.exact) return Cover::partial;
    return cover_by_pieces(q, k, padded);
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return cover({query, query + 1}, {key, key + 1}) == Cover::full;
  }

  std::int64_t kept_pairs() const override {
    return pairs(t_, tiling_.grid().t, tiling_.tile().t) *
           pairs(h_, tiling_.grid().h, tiling_.tile().h) *
           pairs(w_, tiling_.grid().w, tiling_.tile().w);
  }

 private:
  /// What a range of positions holds.
  struct Area {
    std::int64_t tokens = 0;
    CellBox bounds{};
    bool exact = false;  ///< every cell of `bounds` is in the range
  };

  AxisWindow axis(const Window& window, int Extent3::*a) const {
    return {tiling_.tiles().*a, radius(window.window.*a, window.tile.*a, window.unit),
            window.border, window.centre};
  }

  void cut_pieces(const video::TokenOrder& order) {
    for (std::int64_t position = 0; position < order.positions(); ++position) {
      if (const auto token = order.token_at[position]; token >= 0)
        append(position, tiling_.coordinate(tiling_.tile_of(std::int64_t{token})));
    }
    piece_at_.resize(order.token_at.size());
    std::int32_t piece = 0;
    for (std::int64_t position = 0; position < order.positions(); ++position) {
      while (piece < std::ssize(pieces_) && pieces_[piece].end <= position) ++piece;
      piece_at_[position] = piece;
    }
  }

  void append(std::int64_t position, Extent3 cell) {
    if (!pieces_.empty() && pieces_.back().end == position) {
      Piece& last = pieces_.back();
      Extent3 next = last.cell;
      next.w += static_cast<int>(step_ * (position - last.begin));
      if (next == cell) {
        ++last.end;
        return;
      }
    }
    pieces_.push_back({position, position + 1, cell});
  }

  /// Calls visit(cells, tokens) for the parts of a range until it returns false.
  template <typename Visit>
  void for_parts(Range range, const Visit& visit) const {
    if (range.begin >= range.end) return;
    for (std::size_t i = piece_at_[range.begin]; i < pieces_.size(); ++i) {
      const Piece& piece = pieces_[i];
      if (piece.begin >= range.end) return;
      const std::int64_t begin = std::max(piece.begin, range.begin);
      const std::int64_t end = std::min(piece.end, range.end);
      const int first = piece.cell.w + static_cast<int>(step_ * (begin - piece.begin));
      const int last = piece.cell.w + static_cast<int>(step_ * (end - 1 - piece.begin));
      const CellBox cells{
          {piece.cell.t, piece.cell.t + 1}, {piece.cell.h, piece.cell.h + 1}, {first, last + 1}};
      if (!visit(cells, end - begin)) return;
    }
  }

  Area area(Range range) const {
    Area sum;
    int parts = 0;
    for_parts(range, [&](const CellBox& cells, std::int64_t tokens) {
      if (parts++ == 0) sum.bounds = cells;
      sum.bounds.extend(cells);
      sum.tokens += tokens;
      return true;
    });
    sum.exact = parts == 1 || (step_ == 1 && sum.bounds.volume() == sum.tokens);
    return sum;
  }

  Cover cover_by_pieces(Range q, Range k, bool padded) const {
    CoverOfParts parts;
    if (padded) parts.add(Cover::none);
    for_parts(q, [&](const CellBox& queries, std::int64_t) {
      for_parts(k, [&](const CellBox& keys, std::int64_t) {
        parts.add(all(queries, keys)    ? Cover::full
                  : some(queries, keys) ? Cover::partial
                                        : Cover::none);
        return !parts.decided();
      });
      return !parts.decided();
    });
    return parts.cover();
  }

  bool some(const CellBox& q, const CellBox& k) const {
    return t_.some(q.t, k.t) && h_.some(q.h, k.h) && w_.some(q.w, k.w);
  }
  bool all(const CellBox& q, const CellBox& k) const {
    return t_.all(q.t, k.t) && h_.all(q.h, k.h) && w_.all(q.w, k.w);
  }

  /// Kept pairs of token coordinates on one axis of `tokens`, `tile` a cell.
  static std::int64_t pairs(const AxisWindow& axis, int tokens, int tile) {
    const auto edge = [&](int cell) {
      return std::min(std::int64_t{cell} * tile, std::int64_t{tokens});
    };
    std::int64_t sum = 0;
    for (int cell = 0; cell < axis.cells(); ++cell) {
      const CellRange seen = axis.seen(cell);
      sum += (edge(cell + 1) - edge(cell)) * (edge(seen.end) - edge(seen.begin));
    }
    return sum;
  }

  video::Tiling tiling_;  ///< of window cells
  std::int64_t step_;
  AxisWindow t_, h_, w_;
  std::vector<Piece> pieces_;           ///< ascending; positions in none are padding
  std::vector<std::int32_t> piece_at_;  ///< per position the first piece that ends after it
};

}  // namespace

std::unique_ptr<Mask> window_mask(const Window& window, Extent3 grid,
                                  const video::TokenOrder& order) {
  if (std::min({window.window.t, window.window.h, window.window.w}) <= 0)
    throw Error(ErrorKind::usage, "mask.window",
                "extents must be positive, got " + to_string(window.window),
                "give three positive numbers t,h,w");
  if (order.tokens() != grid.volume())
    throw Error(ErrorKind::usage, "mask.grid",
                to_string(grid) + " has " + std::to_string(grid.volume()) +
                    " tokens, the token order " + std::to_string(order.tokens()),
                "order the tokens of the same grid");
  return std::make_unique<WindowMask>(window, grid, order);
}

}  // namespace karat::mask
