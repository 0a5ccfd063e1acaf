// Gantt, roofline and occupancy of one answer, one below the other.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "karat/hopper/answer.hpp"
#include "karat/report/chart.hpp"
#include "supply.hpp"

namespace karat::hopper {
namespace {

using report::Svg;

constexpr double kWidth = 960, kRow = 20, kEdge = 8;

std::string rounded(double x, int digits) {
  std::string text = std::to_string(std::round(x * std::pow(10, digits)) / std::pow(10, digits));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

struct Activity {
  std::string_view label, colour;
};
constexpr std::array kActivities = {
    Activity{"QK", "#3b6fb6"},          Activity{"PV", "#7aa6dd"},
    Activity{"row max", "#c98a2b"},     Activity{"exp2", "#d4552c"},
    Activity{"softmax", "#e59a6f"},     Activity{"convert P", "#8a6fb5"},
    Activity{"rescale O", "#6b4f9e"},   Activity{"promote", "#b0529a"},
    Activity{"load Q", "#2f6f4a"},      Activity{"load K", "#4b9a6a"},
    Activity{"load V", "#77b98f"},      Activity{"store O", "#a5773a"},
    Activity{"transpose V", "#a3b84c"}, Activity{"operands", "#5aa5a5"},
    Activity{"scale", "#e0c341"},       Activity{"mask", "#8c6d31"},
    Activity{"finish", "#555555"},      Activity{"wait", "#e6e6e6"},
    Activity{"wait PV", "#d0d0d0"}};
constexpr std::string_view kOther = "#999999";

std::string_view colour(std::string_view label) {
  const auto found = std::ranges::find(kActivities, label, &Activity::label);
  return found == kActivities.end() ? kOther : found->colour;
}

/// Boxes of the activities that the slices hold, in the table's order. Returns where they end.
double activities(Svg& svg, double top, const std::vector<Slice>& slices) {
  std::vector<Activity> shown;
  const auto held = [&](std::string_view label) {
    return std::ranges::any_of(slices, [&](const Slice& s) { return s.label == label; });
  };
  for (const Activity& row : kActivities)
    if (held(row.label)) shown.push_back(row);
  if (std::ranges::any_of(slices, [](const Slice& s) { return colour(s.label) == kOther; }))
    shown.push_back({"other", kOther});
  double x = kEdge;
  for (const Activity& row : shown) {
    const double width = 40 + report::text_width(row.label, 12);
    if (x + width > kWidth) {
      x = kEdge;
      top += 18;
    }
    svg.rect({x, top}, 12, 12, {.fill = row.colour});
    svg.text({x + 18, top + 10}, row.label, {.size = 12, .role = "legend"});
    x += width;
  }
  return top + 18;
}

/// What the units of an SM and the warpgroups of its CTAs do, over time. Returns its height.
double gantt(Svg& svg, const Question& q, const AttentionCost& cost, const TraceOptions& options) {
  const auto slices = timeline(q, cost.plan, cost.launch, options);
  const double us = 1 / cost.launch.clock_mhz;  // of a clock
  const int actors = cost.plan.warpgroups + 1;
  report::Axis rows{.title = "unit, or who of which CTA"};
  for (const auto& unit : kUnitNames) rows.names.emplace_back(unit);
  for (int cta = 0; cta < cost.plan.ctas_per_sm; ++cta)
    for (int g = 0; g < actors; ++g)
      rows.names.push_back(
          "CTA " + std::to_string(cta) + " " +
          (g == cost.plan.warpgroups ? "producer" : "warpgroup " + std::to_string(g)));
  const auto count = static_cast<double>(rows.names.size());
  report::Panel panel({.title = "time since the CTAs began", .unit = "us"}, rows);
  panel.x.cover(0);
  for (const Slice& s : slices) panel.x.cover(s.end * us);
  svg.begin_group("panel");
  svg.text({kEdge, 22},
           "One SM: its units and the warpgroups of its CTAs, the first " +
               std::to_string(options.tiles) + " query tiles of each",
           {.size = 14, .bold = true});
  const double below = panel.fit(kWidth, 34, count * kRow, 0.01);
  panel.draw_axes(svg);
  for (const Slice& s : slices) {
    const double row = s.unit >= 0 ? s.unit : kUnits + s.cta * actors + s.group;
    const double from = panel.x.clipped(s.begin * us), to = panel.x.clipped(s.end * us);
    svg.rect({from, panel.y.at(row) - kRow / 2 + 2}, std::max(0.05, to - from), kRow - 4,
             {.fill = colour(s.label), .role = "mark"});
  }
  const double end = activities(svg, below + 4, slices);
  svg.end_group();
  return end;
}

/// Attainable TFLOP/s over FLOP per byte, with this launch as a point.
report::Chart roofline(const Question& q, const AttentionCost& cost) {
  const double intensity = cost.tflops * cost.time_ms * 1e9 / held_bytes(q);
  const bool bf16 = cost.plan.qk == Element::bf16;
  const double peak = bf16 ? q.machine.bf16_peak_tflops() : q.machine.fp8_peak_tflops();
  const double ridge = peak * 1e3 / q.machine.hbm_gb_per_s;
  const double low = std::min({10.0, intensity / 2, ridge / 4}),
               high = std::max({1e5, 2 * intensity, 4 * ridge});
  report::Chart chart{
      .title = "Roofline of " + q.machine.name + ": " + rounded(cost.tflops, 0) + " of " +
               rounded(peak, 0) + " TFLOP/s at " + rounded(intensity, 0) + " FLOP per byte",
      .x = {.title = "work per byte of Q, K, V and O",
            .unit = "FLOP/byte",
            .scale = report::Scale::logarithmic},
      .y = {.title = "rate", .unit = "TFLOP/s", .scale = report::Scale::logarithmic},
      .width = kWidth,
      .height = 320};
  report::Series roof = report::make_series(
      "at most: HBM's " + rounded(q.machine.hbm_gb_per_s, 0) + " GB/s, then the tensor cores' " +
          rounded(peak, 0) + " TFLOP/s in " + (bf16 ? "BF16" : "FP8"),
      7);
  roof.points = {{low, low * q.machine.hbm_gb_per_s * 1e-3}, {ridge, peak}, {high, peak}};
  report::Series launch = report::make_series("this launch", 1, report::Mark::dots);
  launch.points = {{intensity, cost.tflops}};
  chart.series = {roof, launch};
  return chart;
}

/// End of the last tile of every SM, sorted: above it is what waves and imbalance leave idle.
report::Chart occupancy(const AttentionCost& cost) {
  std::vector<double> ends = cost.launch.sm_clocks;
  std::sort(ends.rbegin(), ends.rend());
  report::Chart chart{.title = "SM occupancy: " + rounded(cost.launch.waves, 2) + " waves of " +
                               std::to_string(cost.launch.tiles) + " tiles",
                      .x = {.title = "SM, the last to end first", .whole = true},
                      .y = {.title = "busy until", .unit = "us"},
                      .width = kWidth,
                      .height = 260};
  report::Series bars =
      report::make_series("until its last tile ends; above it, idle", 0, report::Mark::columns);
  for (std::size_t i = 0; i < ends.size(); ++i)
    bars.points.push_back({static_cast<double>(i + 1), ends[i] / cost.launch.clock_mhz});
  chart.series.push_back(std::move(bars));
  return chart;
}

}  // namespace

std::string cost_picture(const Question& q, const AttentionCost& cost,
                         const TraceOptions& options) {
  const auto draw_into = [&](Svg& svg) {
    double top = gantt(svg, q, cost, options) + 16;
    top += draw(svg, {0, top}, roofline(q, cost)) + 16;
    return top + draw(svg, {0, top}, occupancy(cost));
  };
  Svg measured(1, 1);
  Svg svg(kWidth, draw_into(measured));
  draw_into(svg);
  return svg.str();
}

}  // namespace karat::hopper
