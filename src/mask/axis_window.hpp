// A window on one axis: per query coordinate the interval of key coordinates it sees. Windows are
// products of three axes, so everything about them is decided here, one axis at a time.
#pragma once

#include <vector>

#include "karat/mask/window.hpp"

namespace karat::mask {

/// Coordinates begin..end-1 on one axis.
struct CellRange {
  int begin = 0;
  int end = 0;
};

/// Both interval ends never decrease with the query coordinate, no interval is empty and neighbours
/// overlap or touch; so a run of queries sees one interval, and cover() needs only its two ends.
class AxisWindow {
 public:
  /// @param cells  coordinates on the axis: tiles, or tokens for Unit::tokens_exact
  /// @param radius the farthest |distance| seen; under clamp the centre is moved to
  ///               clamp(c, radius, cells-1-radius), and 2*radius+1 >= cells covers the axis
  AxisWindow(int cells, int radius, Border border, Centre centre);

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

}  // namespace karat::mask
