// Gantt, roofline and occupancy of one answer, one below the other.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "karat/hopper/answer.hpp"
#include "karat/report/svg.hpp"
#include "supply.hpp"

namespace karat::hopper {
namespace {

using report::Anchor;
using report::Paint;
using report::Point;
using report::Svg;

constexpr double kWidth = 960, kLeft = 150, kRight = 930;
constexpr double kRow = 20;

std::string rounded(double x, int digits) {
  std::string text = std::to_string(std::round(x * std::pow(10, digits)) / std::pow(10, digits));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string_view colour(std::string_view label) {
  struct Label {
    std::string_view label, colour;
  };
  constexpr std::array kColours = {
      Label{"QK", "#3b6fb6"},        Label{"PV", "#7aa6dd"},      Label{"row max", "#c98a2b"},
      Label{"exp2", "#d4552c"},      Label{"softmax", "#e59a6f"}, Label{"convert P", "#8a6fb5"},
      Label{"rescale O", "#6b4f9e"}, Label{"wait", "#e6e6e6"},    Label{"wait PV", "#d8d8d8"},
      Label{"load K", "#4b9a6a"},    Label{"load V", "#77b98f"},  Label{"load Q", "#2f6f4a"},
      Label{"store O", "#a5773a"},   Label{"finish", "#555555"},  Label{"promote", "#b0529a"}};
  for (const Label& row : kColours) {
    if (row.label == label) return row.colour;
  }
  return "#999999";
}

void gantt(Svg& svg, double top, const Question& q, const AttentionCost& cost,
           const TraceOptions& options) {
  const auto slices = timeline(q, cost.plan, cost.launch, options);
  const int actors = cost.plan.warpgroups + 1;
  double end = 1;
  for (const Slice& s : slices) end = std::max(end, s.end);
  const auto x = [&](double clocks) { return kLeft + (kRight - kLeft) * clocks / end; };
  svg.text({kLeft, top},
           "One SM: its units and the warpgroups of its CTAs, " +
               rounded(end / cost.launch.clock_mhz, 2) + " us",
           {.bold = true});
  top += 8;
  for (int unit = 0; unit < kUnits; ++unit) {
    svg.text({kLeft - 8, top + unit * kRow + 14}, kUnitNames[unit], {.anchor = Anchor::end});
  }
  for (int cta = 0; cta < cost.plan.ctas_per_sm; ++cta) {
    for (int g = 0; g < actors; ++g) {
      const std::string name =
          g == cost.plan.warpgroups ? "producer" : "warpgroup " + std::to_string(g);
      svg.text({kLeft - 8, top + (kUnits + cta * actors + g) * kRow + 14},
               "CTA " + std::to_string(cta) + " " + name, {.anchor = Anchor::end});
    }
  }
  for (const Slice& s : slices) {
    const int row = s.unit >= 0 ? s.unit : kUnits + s.cta * actors + s.group;
    const double width = std::max(0.05, x(s.end) - x(s.begin));
    svg.rect({x(s.begin), top + row * kRow + 2}, width, kRow - 4,
             {.fill = colour(s.label), .stroke = {}});
  }
}

/// Attainable TFLOP/s over FLOP per HBM byte, log-log, with this launch as a point.
void roofline(Svg& svg, double top, const Question& q, const AttentionCost& cost) {
  constexpr double kHeight = 200, kLow = 10, kHigh = 1e5;  // FLOP per byte
  const double intensity = cost.tflops * cost.time_ms * 1e9 / held_bytes(q);
  const double peak =
      cost.plan.qk == Element::bf16 ? q.machine.bf16_peak_tflops() : q.machine.fp8_peak_tflops();
  const double floor = peak / 1000;
  const auto x = [&](double i) {
    return kLeft +
           (kRight - kLeft) * std::log(std::clamp(i, kLow, kHigh) / kLow) / std::log(kHigh / kLow);
  };
  const auto y = [&](double tflops) {
    return top + 10 +
           kHeight *
               (1 - std::log(std::clamp(tflops, floor, peak) / floor) / std::log(peak / floor));
  };
  svg.text({kLeft, top},
           "Roofline of " + q.machine.name + ": " + rounded(cost.tflops, 0) + " of " +
               rounded(peak, 0) + " TFLOP/s at " + rounded(intensity, 0) +
               " FLOP per byte of Q, K, V, O",
           {.bold = true});
  const double ridge = peak * 1e3 / q.machine.hbm_gb_per_s;
  const std::array<Point, 3> roof = {Point{x(kLow), y(kLow * q.machine.hbm_gb_per_s * 1e-3)},
                                     Point{x(ridge), y(peak)}, Point{x(kHigh), y(peak)}};
  svg.polyline(roof, {.fill = {}, .stroke = "#333333", .stroke_width = 1.5});
  svg.line({kLeft, top + 10 + kHeight}, {kRight, top + 10 + kHeight},
           {.fill = {}, .stroke = "#999999"});
  svg.circle({x(intensity), y(cost.tflops)}, 5, {.fill = "#d4552c", .stroke = {}});
  for (double i = kLow; i <= kHigh; i *= 10) {
    svg.text({x(i), top + 26 + kHeight}, rounded(i, 0), {.size = 10, .anchor = Anchor::middle});
  }
  svg.text({kLeft - 8, y(peak) + 4}, rounded(peak, 0), {.size = 10, .anchor = Anchor::end});
}

/// End of the last tile of every SM, sorted: the white part is what waves and imbalance leave idle.
void occupancy(Svg& svg, double top, const AttentionCost& cost) {
  constexpr double kHeight = 140;
  std::vector<double> ends = cost.launch.sm_clocks;
  std::sort(ends.rbegin(), ends.rend());
  const double last = ends.front();
  svg.text({kLeft, top},
           "SM occupancy: " + rounded(cost.launch.waves, 2) + " waves of " +
               std::to_string(cost.launch.tiles) +
               " tiles; each bar is an SM's last "
               "clock",
           {.bold = true});
  svg.rect({kLeft, top + 10}, kRight - kLeft, kHeight, {.fill = "#f4f4f4", .stroke = {}});
  const double width = (kRight - kLeft) / static_cast<double>(ends.size());
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const double height = kHeight * ends[i] / last;
    svg.rect({kLeft + width * static_cast<double>(i), top + 10 + kHeight - height}, width * 0.9,
             height, {.fill = "#3b6fb6", .stroke = {}});
  }
}

}  // namespace

std::string cost_picture(const Question& q, const AttentionCost& cost,
                         const TraceOptions& options) {
  const double rows = kUnits + cost.plan.ctas_per_sm * (cost.plan.warpgroups + 1);
  const double roof_top = 60 + rows * kRow, waves_top = roof_top + 270;
  Svg svg(kWidth, waves_top + 170);
  gantt(svg, 30, q, cost, options);
  roofline(svg, roof_top, q, cost);
  occupancy(svg, waves_top, cost);
  return svg.str();
}

}  // namespace karat::hopper
