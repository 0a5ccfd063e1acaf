// Values over rows and columns as colours: several maps of one scale beside each other, as SVG.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "karat/report/axes.hpp"

namespace karat::report {

/// One map. Rows are counted downwards.
struct HeatMap {
  std::string title;
  std::vector<double> values;        ///< row by row; NaN: nothing there
  std::vector<std::string> words{};  ///< in the cells, where they have room; empty: none
};

/// What maps beside each other share.
struct HeatMaps {
  Axis x, y;     ///< names of columns and of rows, one each at least
  Axis colour;   ///< what a colour says
  double least;  ///< of the colour bar; what lies outside has the colour of its end
  double most;
  std::string nothing = "not measured";  ///< what a cell without a value means
  std::vector<HeatMap> maps;
  double width = 1000;
};

/// Cells are 14 to 44 user units wide, so that each can be seen; maps that have no room beside each
/// other stand below each other. The bar of colours stands below, marked by ticks().
/// Cells behind the last value are not drawn.
std::string draw(const HeatMaps& maps);

/// The colour of a share of the scale, 0 to 1: from pale through orange to dark red.
std::string heat_colour(double share);

}  // namespace karat::report
