// Implementation of report/chart.hpp.
#include "karat/report/chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "karat/report/text.hpp"

namespace karat::report {
namespace {

constexpr double kLeft = 64, kRight = 16, kTop = 34, kBottom = 48, kLegendRow = 18;
constexpr std::string_view kInk = "#1f2328", kQuiet = "#57606a", kGrid = "#e6e9ec",
                           kFrame = "#afb8c1";

/// One axis: from values to user units.
class Ruler {
 public:
  Ruler(Scale scale, double from, double to) : scale_(scale), from_(from), to_(to) {}

  bool shows(double value) const {
    return std::isfinite(value) && (scale_ == Scale::linear || value > 0);
  }
  void cover(double value) {
    if (!shows(value)) return;
    low_ = std::min(low_, place(value));
    high_ = std::max(high_, place(value));
  }
  /// Call once everything is covered.
  void settle(double margin) {
    if (!(low_ <= high_)) low_ = 0, high_ = 1;
    // Values closer than this are one value: no ticks could be told apart between them.
    const double same = 1e-12 * std::max(std::abs(low_), std::abs(high_));
    const double room = high_ - low_ > same       ? margin * (high_ - low_)
                        : scale_ == Scale::linear ? 0.5
                                                  : 0.3;
    low_ -= room;
    high_ += room;
  }
  double at(double value) const {
    return from_ + (place(value) - low_) / (high_ - low_) * (to_ - from_);
  }
  std::vector<double> ticks() const { return scale_ == Scale::linear ? round_values() : decades(); }

 private:
  double place(double value) const { return scale_ == Scale::linear ? value : std::log10(value); }
  std::vector<double> round_values() const {
    const double rough = (high_ - low_) / 6, power = std::pow(10, std::floor(std::log10(rough)));
    const double step = power * (rough / power > 5   ? 10
                                 : rough / power > 2 ? 5
                                 : rough / power > 1 ? 2
                                                     : 1);
    std::vector<double> out;
    for (double v = std::ceil(low_ / step) * step; v <= high_; v += step)
      out.push_back(std::abs(v) < step * 1e-9 ? 0 : v);
    return out;
  }
  std::vector<double> decades() const {
    const std::vector<double> parts =
        high_ - low_ > 3 ? std::vector<double>{1} : std::vector<double>{1, 2, 5};
    std::vector<double> out;
    for (int power = static_cast<int>(std::floor(low_)); power <= std::ceil(high_); ++power)
      for (const double part : parts) {
        const double v = part * std::pow(10, power);
        if (place(v) >= low_ && place(v) <= high_) out.push_back(v);
      }
    return out;
  }
  Scale scale_;
  double from_, to_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

struct Frame {
  Ruler x, y;
  double left, right, top, bottom;
};

std::vector<Point> path_of(const Series& series, const Frame& frame) {
  std::vector<Point> path;
  for (const Point& p : series.points) {
    if (!frame.x.shows(p.x) || !frame.y.shows(p.y)) continue;
    const Point at{frame.x.at(p.x), frame.y.at(p.y)};
    if (series.mark == Mark::staircase && !path.empty()) path.push_back({at.x, path.back().y});
    path.push_back(at);
  }
  return path;
}

/// The band of a line's intervals as one closed shape; ends below the axis stop at the frame.
void draw_band(Svg& svg, const Series& series, const Frame& frame) {
  std::vector<Point> upper, lower;
  const auto clipped = [&](double value) {
    return frame.y.shows(value) ? std::clamp(frame.y.at(value), frame.top, frame.bottom)
                                : frame.bottom;
  };
  for (const Bar& bar : series.intervals) {
    if (!frame.x.shows(bar.x)) continue;
    const double x = frame.x.at(bar.x);
    if (series.mark == Mark::staircase && !upper.empty()) {
      upper.push_back({x, upper.back().y});
      lower.push_back({x, lower.back().y});
    }
    upper.push_back({x, clipped(bar.high)});
    lower.push_back({x, clipped(bar.low)});
  }
  upper.insert(upper.end(), lower.rbegin(), lower.rend());
  const std::string pale = paler(series.colour, 0.78);
  if (!upper.empty()) svg.polyline(upper, {.fill = pale});
}

void draw_series(Svg& svg, const Series& series, const Frame& frame) {
  const std::vector<Point> path = path_of(series, frame);
  if (series.mark != Mark::dots) {
    if (path.size() == 1) svg.circle(path.front(), 3, {.fill = series.colour});
    svg.polyline(path, {.stroke = series.colour, .stroke_width = 2});
    return;
  }
  for (const Bar& bar : series.intervals) {
    if (!frame.x.shows(bar.x) || !frame.y.shows(bar.high)) continue;
    const double x = frame.x.at(bar.x), top = std::max(frame.y.at(bar.high), frame.top);
    const double bottom =
        frame.y.shows(bar.low) ? std::min(frame.y.at(bar.low), frame.bottom) : frame.bottom;
    svg.line({x, top}, {x, bottom}, {.stroke = series.colour, .stroke_width = 1});
  }
  for (const Point at : path)
    svg.circle(at, 4, {.fill = series.colour, .stroke = "#ffffff", .stroke_width = 1});
}

void draw_axes(Svg& svg, const Chart& chart, const Frame& frame) {
  for (const double value : frame.y.ticks()) {
    const double y = frame.y.at(value);
    svg.line({frame.left, y}, {frame.right, y}, {.stroke = kGrid});
    svg.text({frame.left - 6, y + 4}, short_decimal(value),
             {.size = 11, .anchor = Anchor::end, .fill = kQuiet});
  }
  if (chart.x.names.empty()) {
    for (const double value : frame.x.ticks()) {
      const double x = frame.x.at(value);
      svg.line({x, frame.top}, {x, frame.bottom}, {.stroke = kGrid});
      svg.text({x, frame.bottom + 16}, short_decimal(value, 5),
               {.size = 11, .anchor = Anchor::middle, .fill = kQuiet});
    }
  }
  for (std::size_t i = 0; i < chart.x.names.size(); ++i)
    svg.text({frame.x.at(static_cast<double>(i)), frame.bottom + 16}, chart.x.names[i],
             {.size = 11, .anchor = Anchor::middle, .fill = kQuiet});
  svg.rect({frame.left, frame.top}, frame.right - frame.left, frame.bottom - frame.top,
           {.stroke = kFrame});
  svg.text({(frame.left + frame.right) / 2, frame.bottom + 36}, chart.x.title,
           {.size = 12, .anchor = Anchor::middle, .fill = kInk});
  const double middle = (frame.top + frame.bottom) / 2;
  svg.text({16, middle}, chart.y.title,
           {.size = 12, .anchor = Anchor::middle, .fill = kInk, .rotate = -90});
}

double name_width(std::string_view name) { return 34 + 6.6 * static_cast<double>(name.size()); }

/// Rows the legend takes; draws them when `svg` is given.
int legend(const Chart& chart, Svg* svg, double top) {
  double x = kLeft;
  int row = 0;
  for (const Series& series : chart.series) {
    if (series.name.empty()) continue;
    if (x > kLeft && x + name_width(series.name) > chart.width) {
      x = kLeft;
      ++row;
    }
    if (svg) {
      const double y = top + row * kLegendRow;
      if (series.mark == Mark::dots) {
        svg->circle({x + 9, y}, 4, {.fill = series.colour});
      } else {
        svg->line({x, y}, {x + 18, y}, {.stroke = series.colour, .stroke_width = 3});
      }
      svg->text({x + 24, y + 4}, series.name, {.size = 12});
    }
    x += name_width(series.name);
  }
  return row + 1;
}

}  // namespace

std::string draw(const Chart& chart) {
  const int rows = legend(chart, nullptr, 0);
  Svg svg(chart.width, chart.height + rows * kLegendRow);
  Frame frame{.x = Ruler(chart.x.scale, kLeft, chart.width - kRight),
              .y = Ruler(chart.y.scale, chart.height - kBottom, kTop),
              .left = kLeft,
              .right = chart.width - kRight,
              .top = kTop,
              .bottom = chart.height - kBottom};
  for (const Series& series : chart.series) {
    for (const Point& p : series.points) {
      frame.x.cover(p.x);
      frame.y.cover(p.y);
    }
    if (series.mark != Mark::dots || chart.y.scale != Scale::linear) continue;
    for (const Bar& bar : series.intervals) {
      frame.y.cover(bar.low);
      frame.y.cover(bar.high);
    }
  }
  for (const Marker& marker : chart.markers) frame.x.cover(marker.x);
  frame.x.settle(0.03);
  frame.y.settle(0.06);
  svg.text({kLeft, 20}, chart.title, {.size = 14, .fill = kInk, .bold = true});
  for (const Series& series : chart.series)
    if (series.mark != Mark::dots) draw_band(svg, series, frame);
  draw_axes(svg, chart, frame);
  for (const Marker& marker : chart.markers) {
    const double x = frame.x.at(marker.x);
    svg.line({x, frame.top}, {x, frame.bottom}, {.stroke = kQuiet, .stroke_width = 1});
    svg.text({x + 4, frame.top + 12}, marker.name, {.size = 11, .fill = kQuiet});
  }
  for (const Series& series : chart.series) draw_series(svg, series, frame);
  legend(chart, &svg, chart.height + 4);
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
