// Implementation of axis_window.hpp: truncated or clamped intervals and their transpose.
#include "axis_window.hpp"

#include <algorithm>

namespace karat::mask {
namespace {

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

}  // namespace

AxisWindow::AxisWindow(int cells, int radius, Border border, Centre centre) {
  radius = std::min(radius, cells);  // sees everything from anywhere; keeps sums below in range
  const bool covers = border == Border::clamp && 2 * radius + 1 >= cells;
  for (int c = 0; c < cells; ++c) {
    const int middle =
        border == Border::clamp && !covers ? std::clamp(c, radius, cells - 1 - radius) : c;
    seen_.push_back(covers ? CellRange{0, cells} : around(middle, radius, cells));
  }
  if (centre == Centre::key) seen_ = transposed(seen_);
}

}  // namespace karat::mask
