// Implementation of report/chart.hpp.
#include "karat/report/chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "karat/report/text.hpp"

namespace karat::report {
namespace {

constexpr double kEdge = 8, kTitleSize = 14, kTitleRow = 18, kTop = 28, kBottom = 52,
                 kLegendRow = 18;
/// On a logarithmic axis intervals may reach so far below the smallest value, farther they are cut.
constexpr double kFarBelow = 0.2;

std::vector<Point> path_of(const Series& series, const Panel& panel) {
  std::vector<Point> path;
  for (const Point& p : series.points) {
    if (!panel.x.shows(p.x) || !panel.y.shows(p.y)) continue;
    const Point at{panel.x.at(p.x), panel.y.at(p.y)};
    if (series.mark == Mark::staircase && !path.empty()) path.push_back({at.x, path.back().y});
    path.push_back(at);
  }
  return path;
}

/// The band of a line's intervals as one closed shape.
void draw_band(Svg& svg, const Series& series, const Panel& panel) {
  std::vector<Point> upper, lower;
  for (const Bar& bar : series.intervals) {
    if (!panel.x.shows(bar.x)) continue;
    const double x = panel.x.clipped(bar.x);
    if (series.mark == Mark::staircase && !upper.empty()) {
      upper.push_back({x, upper.back().y});
      lower.push_back({x, lower.back().y});
    }
    upper.push_back({x, panel.y.clipped(bar.high)});
    lower.push_back({x, panel.y.clipped(bar.low)});
  }
  upper.insert(upper.end(), lower.rbegin(), lower.rend());
  const std::string pale = paler(series.colour, 0.78);
  if (!upper.empty()) svg.polyline(upper, {.fill = pale, .role = "mark"});
}

/// Half the width of a column: most of the least distance between two.
double half_column(const Series& series, const Panel& panel) {
  double least = (panel.right - panel.left) / 4;
  for (std::size_t i = 1; i < series.points.size(); ++i)
    least = std::min(least,
                     std::abs(panel.x.at(series.points[i].x) - panel.x.at(series.points[i - 1].x)));
  return std::min(0.42 * least, 40.0);
}

void draw_columns(Svg& svg, const Series& series, const Panel& panel) {
  const double half = half_column(series, panel);
  for (const Point at : path_of(series, panel)) {
    const double from = std::max(panel.left, at.x - half), to = std::min(panel.right, at.x + half);
    svg.rect({from, at.y}, to - from, panel.y.clipped(0) - at.y,
             {.fill = series.colour, .role = "mark"});
  }
}

void draw_dots(Svg& svg, const Series& series, const Panel& panel) {
  for (const Bar& bar : series.intervals) {
    if (!panel.x.shows(bar.x) || !panel.y.shows(bar.high)) continue;
    const double x = panel.x.clipped(bar.x);
    svg.line({x, panel.y.clipped(bar.high)}, {x, panel.y.clipped(bar.low)},
             {.stroke = series.colour, .stroke_width = 1, .role = "mark"});
  }
  for (const Point at : path_of(series, panel))
    svg.circle(at, 4,
               {.fill = series.colour, .stroke = "#ffffff", .stroke_width = 1, .role = "mark"});
}

void draw_series(Svg& svg, const Series& series, const Panel& panel) {
  const std::vector<Point> path = path_of(series, panel);
  if (series.mark == Mark::columns) {
    draw_columns(svg, series, panel);
  } else if (series.mark == Mark::dots) {
    draw_dots(svg, series, panel);
  } else {
    if (path.size() == 1) svg.circle(path.front(), 3, {.fill = series.colour, .role = "mark"});
    svg.polyline(path, {.stroke = series.colour, .stroke_width = 2, .role = "mark"});
  }
  for (std::size_t i = 0; i < std::min(series.words.size(), series.points.size()); ++i) {
    const Point& p = series.points[i];
    if (panel.x.shows(p.x) && panel.y.shows(p.y))
      svg.text({panel.x.at(p.x), panel.y.at(p.y) - 5}, series.words[i],
               {.size = 10, .anchor = Anchor::middle, .fill = kQuiet});
  }
}

/// Draws the legend where `svg` is given. Returns its rows.
int legend(const Chart& chart, Svg* svg, Point corner) {
  double x = kEdge;
  int row = 0;
  bool any = false;
  for (const Series& series : chart.series) {
    if (series.name.empty()) continue;
    any = true;
    const double width = 34 + text_width(series.name, 12);
    if (x > kEdge && x + width > chart.width) {
      x = kEdge;
      ++row;
    }
    if (svg) {
      const double y = corner.y + row * kLegendRow;
      if (series.mark == Mark::dots)
        svg->circle({x + 9, y}, 4, {.fill = series.colour});
      else if (series.mark == Mark::columns)
        svg->rect({x + 3, y - 6}, 12, 12, {.fill = series.colour});
      else
        svg->line({x, y}, {x + 18, y}, {.stroke = series.colour, .stroke_width = 3});
      svg->text({x + 24, y + 4}, series.name, {.size = 12, .role = "legend"});
    }
    x += width;
  }
  return any ? row + 1 : 0;
}

void cover(Panel& panel, const Chart& chart) {
  double least = std::numeric_limits<double>::infinity();
  for (const Series& series : chart.series)
    for (const Point& p : series.points) {
      panel.x.cover(p.x);
      panel.y.cover(p.y);
      if (series.mark == Mark::columns)
        panel.y.cover(chart.y.scale == Scale::linear ? 0 : 0.5 * p.y);
      if (p.y > 0) least = std::min(least, p.y);
    }
  for (const Series& series : chart.series)
    for (const Bar& bar : series.intervals) {
      panel.y.cover(bar.high);
      if (chart.y.scale == Scale::linear || bar.low > kFarBelow * least) panel.y.cover(bar.low);
    }
  for (const Marker& marker : chart.markers) panel.x.cover(marker.x);
}

}  // namespace

double draw(Svg& svg, Point corner, const Chart& chart) {
  svg.begin_group("panel", corner);
  Panel panel(chart.x, chart.y);
  cover(panel, chart);
  const auto titles = wrapped(chart.title, chart.width - 2 * kEdge, 1.07 * kTitleSize);
  double top = 2;
  for (const std::string& line : titles)
    svg.text({kEdge, top += kTitleRow}, line, {.size = kTitleSize, .fill = kInk, .bold = true});
  top += 10;
  const bool words =
      std::ranges::any_of(chart.series, [](const Series& s) { return !s.words.empty(); });
  const double below =
      panel.fit(chart.width, top, chart.height - kTop - kBottom, 0.03, words ? 0.15 : 0.06);
  for (const Series& series : chart.series)
    if (series.mark == Mark::line || series.mark == Mark::staircase) draw_band(svg, series, panel);
  panel.draw_axes(svg);
  for (const Marker& marker : chart.markers) {
    if (!panel.x.shows(marker.x)) continue;
    const double x = panel.x.at(marker.x);
    svg.line({x, panel.top}, {x, panel.bottom}, {.stroke = kQuiet, .role = "mark"});
    const bool left = x + 8 + text_width(marker.name, 11) > panel.right;
    svg.text({x + (left ? -4 : 4), panel.top + 12}, marker.name,
             {.size = 11, .anchor = left ? Anchor::end : Anchor::start, .fill = kQuiet});
  }
  for (const Series& series : chart.series) draw_series(svg, series, panel);
  const int rows = legend(chart, &svg, {0, below + 10});
  svg.end_group();
  return below + rows * kLegendRow + kEdge;
}

std::string draw(const Chart& chart) {
  Svg measured(1, 1);
  Svg svg(chart.width, draw(measured, {0, 0}, chart));
  draw(svg, {0, 0}, chart);
  return svg.str();
}

std::string_view series_colour(std::size_t index) {
  constexpr std::array<std::string_view, 8> kColours{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                     "#e69f00", "#56b4e9", "#7f5539", "#6e7781"};
  return kColours[index % kColours.size()];
}

Series make_series(std::string name, std::size_t colour, Mark mark) {
  return {.name = std::move(name), .colour = std::string(series_colour(colour)), .mark = mark};
}

std::string paler(std::string_view colour, double share) {
  unsigned rgb = 0;
  std::sscanf(std::string(colour).c_str(), "#%06x", &rgb);
  std::string text = "#";
  for (const int shift : {16, 8, 0}) {
    const unsigned value = rgb >> shift & 255;
    text += print("%02x", static_cast<unsigned>(std::lround(value + share * (255 - value))) & 255);
  }
  return text;
}

std::string short_decimal(double value, int digits) { return print("%.*g", digits, value); }

std::string fixed_decimal(double value, int decimals) { return print("%.*f", decimals, value); }

}  // namespace karat::report
