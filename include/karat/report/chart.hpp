// Charts: series of points over two axes, as SVG.
#pragma once

#include <string>
#include <vector>

#include "karat/report/axes.hpp"
#include "karat/report/svg.hpp"

namespace karat::report {

enum class Mark {
  line,
  staircase,  ///< each value holds until the next x: a front of the best so far
  dots,
  columns,  ///< of values that are not negative: from 0, or the frame's lower side, up
};
/// An interval in y at one x.
struct Bar {
  double x = 0, low = 0, high = 0;
};
struct Series {
  std::string name;
  std::string colour;  ///< "#rrggbb"
  Mark mark = Mark::line;
  std::vector<Point> points{};
  std::vector<Bar> intervals{};      ///< a pale band for lines and staircases, whiskers for dots
  std::vector<std::string> words{};  ///< one above each point; empty: none
};
/// A line at one x, with a word at its top.
struct Marker {
  double x = 0;
  std::string name;
};

struct Chart {
  std::string title;
  Axis x, y;
  std::vector<Series> series{};
  std::vector<Marker> markers{};
  double width = 640, height = 400;
};

/// Values that an axis cannot show (not finite; not positive on a logarithmic one) are left out,
/// intervals end at the frame. Ticks are those of ticks(); the legend stands below.
std::string draw(const Chart& chart);
/// Draws it with its upper left corner there. Returns its height.
double draw(Svg& svg, Point corner, const Chart& chart);

/// Distinct colours for up to eight series, safe for the colour-blind; they repeat beyond.
std::string_view series_colour(std::size_t index);
/// A series without points yet, in the colour of that index.
Series make_series(std::string name, std::size_t colour, Mark mark = Mark::line);
/// The colour mixed with white: share 0 is the colour, 1 white.
std::string paler(std::string_view colour, double share);
/// A number as people read it: at most `digits` significant digits, no trailing zeros.
std::string short_decimal(double value, int digits = 3);
/// Exactly `decimals` digits behind the point, never a power of ten.
std::string fixed_decimal(double value, int decimals);

}  // namespace karat::report
