// Tables as HTML, pictures as inline SVG; no script, nothing from elsewhere.
#include "judge/check_html.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "judge/check_report.hpp"
#include "karat/numerics/formats/format.hpp"
#include "karat/report/svg.hpp"

namespace karat::cli {
namespace {

using golden::StageReport;
using golden::TileError;
using report::escape_xml;

constexpr std::string_view kStyle =
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;"
    "color:#1f2328}table{border-collapse:collapse}td,th{padding:.25em .8em;text-align:right;"
    "border-bottom:1px solid #d0d7de}td:first-child,th:first-child{text-align:left}"
    ".bad{color:#b3261e;font-weight:600}.good{color:#1a7f37}pre{background:#f6f8fa;padding:1em;"
    "overflow-x:auto}h2{margin-top:1.6em}";

std::string number(double value, const char* format) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string cell(std::string_view text) { return "<td>" + escape_xml(text) + "</td>"; }

std::string stage_table(const golden::CheckReport& report) {
  std::string html =
      "<table><tr><th>stage</th><th>result</th><th>compared</th><th>differing</th><th>outside</th>"
      "<th>given its own inputs</th><th>rel. L2</th></tr>\n";
  for (const StageReport& stage : report.stages) {
    const bool bad = stage.verdict == golden::Verdict::differs;
    html += "<tr>" + cell(stage.stage) + "<td class=\"" + (bad ? "bad" : "good") + "\">" +
            std::string(verdict_name(stage.verdict)) + "</td>" +
            cell(std::to_string(stage.compared)) + cell(std::to_string(stage.differing)) +
            cell(std::to_string(stage.outside)) + cell(forced_text(stage)) +
            cell(number(stage.relative_l2, "%.2e")) + "</tr>\n";
  }
  return html + "</table>\n";
}

/// Bars of log10(1 + count) for every ulp bin that is not empty, equal values left out.
std::string histogram(const StageReport& stage) {
  std::vector<std::pair<std::string, std::int64_t>> bars;
  for (std::size_t i = 1; i < stage.ulp_histogram.size(); ++i)
    if (stage.ulp_histogram[i] > 0)
      bars.emplace_back(i == 1 ? "1" : "<2^" + std::to_string(i),
                        stage.ulp_histogram[i]);
  if (bars.empty()) return "";
  constexpr double kBar = 46, kHeight = 110, kLeft = 10, kTop = 18;
  report::Svg svg(kLeft * 2 + kBar * static_cast<double>(bars.size()), kTop + kHeight + 24);
  double most = 0;
  for (const auto& [label, count] : bars) most = std::max(most, std::log10(1.0 + count));
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double x = kLeft + kBar * static_cast<double>(i);
    const double height = kHeight * std::log10(1.0 + bars[i].second) / most;
    svg.rect({x + 4, kTop + kHeight - height}, kBar - 8, height, {.fill = "#4c78a8", .stroke = ""});
    svg.text({x + kBar / 2, kTop + kHeight - height - 4}, std::to_string(bars[i].second),
             {.size = 9, .anchor = report::Anchor::middle});
    svg.text({x + kBar / 2, kTop + kHeight + 14}, bars[i].first,
             {.size = 10, .anchor = report::Anchor::middle});
  }
  return "<h3>" + escape_xml(stage.stage) + "</h3>\n" + svg.str();
}

/// White for no value outside, through orange to dark red for all.
std::string heat(double share) {
  if (share <= 0) return "#f4f6f8";
  const double t = std::sqrt(share);
  const auto mix = [&](double from, double to) { return static_cast<int>(from + (to - from) * t); };
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", mix(255, 140), mix(214, 10), mix(170, 20));
  return text;
}

/// Tiles of one head: t from left to right, each a map of h x w. Where tiles are no boxes of the grid
/// (clusters, text), one strip.
std::string tile_map(std::span<const TileError> tiles, video::Extent3 counts) {
  constexpr double kCell = 16, kGap = 18, kTop = 16;
  if (static_cast<std::size_t>(counts.volume()) != tiles.size())
    counts = {1, 1, static_cast<int>(tiles.size())};
  const double map_width = kCell * counts.w;
  report::Svg svg(20 + (map_width + kGap) * counts.t, kTop + kCell * counts.h + 12);
  for (int t = 0; t < counts.t; ++t) {
    const double left = 10 + (map_width + kGap) * t;
    svg.text({left, kTop - 4}, "t " + std::to_string(t), {.size = 10});
    for (int h = 0; h < counts.h; ++h)
      for (int w = 0; w < counts.w; ++w) {
        const TileError& tile = tiles[(static_cast<std::size_t>(t) * counts.h + h) * counts.w + w];
        const double share =
            tile.compared > 0 ? static_cast<double>(tile.outside) / static_cast<double>(tile.compared)
                              : 0.0;
        const std::string colour = heat(share);
        svg.rect({left + kCell * w, kTop + kCell * h}, kCell, kCell,
                 {.fill = colour, .stroke = "#d0d7de", .stroke_width = 0.5});
      }
  }
  return svg.str();
}

video::Extent3 tile_counts(const golden::GoldenFile& golden) {
  const auto counted = [](int extent, int tile) { return (extent + tile - 1) / tile; };
  const video::Extent3 grid = golden.grid(), tile = golden.recipe().mask.tile;
  return {counted(grid.t, tile.t), counted(grid.h, tile.h), counted(grid.w, tile.w)};
}

std::string heat_maps(const golden::CheckReport& report, const golden::GoldenFile& golden) {
  constexpr std::size_t kMostHeads = 12;
  const std::vector<TileError>& tiles = report.outputs.tiles;
  std::string html;
  std::size_t shown = 0;
  for (std::size_t begin = 0; begin < tiles.size() && shown < kMostHeads;) {
    std::size_t end = begin;
    std::int64_t outside = 0;
    for (; end < tiles.size() && tiles[end].head == tiles[begin].head &&
           tiles[end].batch == tiles[begin].batch;
         ++end)
      outside += tiles[end].outside;
    if (outside > 0) {
      ++shown;
      html += "<h3>batch " + std::to_string(tiles[begin].batch) + ", head " +
              std::to_string(tiles[begin].head) + ": " + std::to_string(outside) +
              " values outside</h3>\n" +
              tile_map(std::span(tiles).subspan(begin, end - begin), tile_counts(golden));
    }
    begin = end;
  }
  if (html.empty()) return "";
  return "<h2>o by query tile</h2>\n<p>Share of a tile's values that no correct kernel can write: "
         "grey none, dark red all. One map of h (down) x w (across) for each t.</p>\n" + html;
}

}  // namespace

std::string check_html(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const cases::TensorSource& candidate) {
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>karat "
                     "check</title><style>" + std::string(kStyle) + "</style></head><body>\n";
  html += "<h1>" + escape_xml(candidate.subject()) + " <span class=\"" +
          (report.passed ? "good\">matches" : "bad\">does not match") + "</span> " +
          escape_xml(golden.subject()) + "</h1>\n";
  html += "<p>Recipe " + escape_xml(golden.recipe().name) + ", " +
          std::to_string(golden.shape().batch) + " x " + std::to_string(golden.shape().heads) +
          " heads of " + video::to_string(golden.grid()) + " = " +
          std::to_string(golden.shape().rows) + " tokens x " +
          std::to_string(golden.shape().channels) + ".</p>\n";
  html += "<h2>Stages</h2>\n" + stage_table(report) + heat_maps(report, golden);
  std::string histograms;
  for (const StageReport& stage : report.stages) histograms += histogram(stage);
  if (!histograms.empty())
    html += "<h2>Distance in ulp</h2>\n<p>Values by distance from the golden one, on a logarithmic "
            "scale; equal values are left out.</p>\n" + histograms;
  html += "<h2>As printed</h2>\n<pre>" + escape_xml(check_text(report, golden, candidate, TextFor::page)) +
          "</pre>\n</body></html>\n";
  return html;
}

}  // namespace karat::cli
