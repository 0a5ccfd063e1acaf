// Implementation of report/heat_map.hpp.
#include "karat/report/heat_map.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "karat/report/text.hpp"

namespace karat::report {
namespace {

constexpr double kLeastCell = 14, kMostCell = 44, kMapGap = 12, kMapEdge = 8, kMapRow = 18;
constexpr double kBarWidth = 320, kBarHeight = 14, kBarBelow = 62;
constexpr std::string_view kEmpty = "#ffffff", kEmptyLine = "#d8dee4";

/// Colours of the scale's values.
class Scaling {
 public:
  explicit Scaling(const HeatMaps& maps) : ruler_(maps.colour) {
    ruler_.cover(maps.least);
    ruler_.cover(maps.most);
    ruler_.settle(0);
    ruler_.place(0, 1);
  }
  double share(double value) const { return ruler_.clipped(value); }
  const Ruler& ruler() const { return ruler_; }
  void place(double from, double to) { ruler_.place(from, to); }

 private:
  Ruler ruler_;
};

/// The size of all, one map's place, and how many stand in a row.
struct MapPlan {
  double cell = kMostCell;
  double map_width = 0;  ///< with labels
  std::size_t columns = 1;
};

MapPlan plan_of(const HeatMaps& maps, double labels) {
  const auto count = static_cast<double>(maps.x.names.size());
  MapPlan plan;
  const double room = maps.width - 2 * kMapEdge;
  // All in one row where cells stay visible, else as many as fit with the widest that do.
  for (std::size_t columns = maps.maps.size(); columns >= 1; --columns) {
    const double one =
        (room - kMapGap * static_cast<double>(columns - 1)) / static_cast<double>(columns);
    plan.cell = std::min(kMostCell, (one - labels) / count);
    plan.columns = columns;
    if (plan.cell >= 2 * kLeastCell) break;
  }
  plan.cell = std::max(plan.cell, kLeastCell);
  plan.map_width = labels + plan.cell * count;
  return plan;
}

void draw_cells(Svg& svg, const HeatMaps& maps, const HeatMap& map, const Panel& panel,
                const Scaling& scaling) {
  const std::size_t columns = maps.x.names.size(), rows = maps.y.names.size();
  const double wide = (panel.right - panel.left) / static_cast<double>(columns),
               high = (panel.bottom - panel.top) / static_cast<double>(rows);
  for (std::size_t i = 0; i < std::min(map.values.size(), columns * rows); ++i) {
    const double value = map.values[i];
    const Point corner{panel.left + wide * static_cast<double>(i % columns),
                       panel.top + high * static_cast<double>(i / columns)};
    const bool nothing = std::isnan(value);
    const double share = nothing ? 0 : scaling.share(value);
    const std::string colour = nothing ? std::string(kEmpty) : heat_colour(share);
    svg.rect(corner, wide, high,
             {.fill = colour, .stroke = kEmptyLine, .stroke_width = 0.5, .role = "mark"});
    if (map.words.empty() || text_width(map.words[i], 10) > wide - 4 || high < 14) continue;
    svg.text({corner.x + wide / 2, corner.y + high / 2 + 3.5}, map.words[i],
             {.size = 10, .anchor = Anchor::middle, .fill = share > 0.5 ? "#ffffff" : kInk});
  }
}

/// The bar of colours, and a box for what has no value where `any_nothing`.
void draw_bar(Svg& svg, const HeatMaps& maps, Scaling scaling, double top, bool any_nothing) {
  svg.begin_group("scale", {kMapEdge + 4, top});
  constexpr int kParts = 64;
  for (int i = 0; i < kParts; ++i)
    svg.rect({kBarWidth * i / kParts, 0}, kBarWidth / kParts + 0.5, kBarHeight,
             {.fill = heat_colour((i + 0.5) / kParts)});
  svg.rect({0, 0}, kBarWidth, kBarHeight, {.stroke = kFrameLine, .role = "frame"});
  scaling.place(0, kBarWidth);
  for (const Tick& tick : scaling.ruler().marks(6)) {
    const double x = scaling.ruler().clipped(tick.value);
    svg.line({x, kBarHeight}, {x, kBarHeight + 4}, {.stroke = kFrameLine});
    svg.text({x, kBarHeight + 16}, tick.label,
             {.size = 11, .anchor = Anchor::middle, .fill = kQuiet, .role = "tick x"});
  }
  svg.text({kBarWidth / 2, kBarHeight + 34}, label_of(maps.colour),
           {.size = 12, .anchor = Anchor::middle, .role = "title x"});
  if (any_nothing) {
    svg.rect({kBarWidth + 40, 0}, kBarHeight, kBarHeight,
             {.fill = kEmpty, .stroke = kEmptyLine, .stroke_width = 1});
    svg.text({kBarWidth + 62, 11}, maps.nothing, {.size = 12, .role = "legend"});
  }
  svg.end_group();
}

}  // namespace

std::string heat_colour(double share) {
  struct Colour {
    double red, green, blue;
  };
  constexpr Colour kRamp[] = {{255, 246, 230}, {253, 184, 99}, {214, 72, 31}, {110, 0, 24}};
  const double at = std::clamp(share, 0.0, 1.0) * 3;
  const auto low = std::min<std::size_t>(2, static_cast<std::size_t>(at));
  const double part = at - static_cast<double>(low);
  const auto mix = [&](double Colour::*channel) {
    return static_cast<unsigned>(
        std::lround(kRamp[low].*channel + part * (kRamp[low + 1].*channel - kRamp[low].*channel)));
  };
  return print("#%02x%02x%02x", mix(&Colour::red), mix(&Colour::green), mix(&Colour::blue));
}

std::string draw(const HeatMaps& maps) {
  Axis x = maps.x, y = maps.y;
  double labels = 0;
  {
    Panel probe(x, y);
    probe.fit(maps.width, 0, 100);
    labels = probe.left + (maps.width - probe.right);
  }
  const MapPlan plan = plan_of(maps, labels);
  const double rows = static_cast<double>(y.names.size());
  const double inside = std::max(1.0, rows) * std::min(plan.cell, kMostCell);
  const Scaling scaling(maps);
  bool any_nothing = false;
  for (const HeatMap& map : maps.maps)
    any_nothing =
        any_nothing || std::ranges::any_of(map.values, [](double v) { return std::isnan(v); });

  const auto draw_into = [&](Svg& svg) {
    double top = 0, next = 0;
    for (std::size_t i = 0; i < maps.maps.size(); ++i) {
      const std::size_t column = i % plan.columns;
      if (column == 0) top = next;
      svg.begin_group("panel",
                      {kMapEdge + static_cast<double>(column) * (plan.map_width + kMapGap), top});
      Panel panel(x, y);
      const double below = panel.fit(plan.map_width, kMapRow + 10, inside);
      svg.text({panel.left, kMapRow}, maps.maps[i].title, {.size = 13, .fill = kInk, .bold = true});
      draw_cells(svg, maps, maps.maps[i], panel, scaling);
      panel.draw_axes(svg);
      svg.end_group();
      next = std::max(next, top + below + kMapGap);
    }
    draw_bar(svg, maps, scaling, next + 4, any_nothing);
    return next + kBarBelow;
  };
  Svg measured(1, 1);
  const double used = 2 * kMapEdge + plan.map_width * static_cast<double>(plan.columns) +
                      kMapGap * static_cast<double>(plan.columns - 1);
  Svg svg(std::max(used, kBarWidth + 200), draw_into(measured));
  draw_into(svg);
  return svg.str();
}

}  // namespace karat::report
