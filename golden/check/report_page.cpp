// A check as one page: the stage table, heat maps of o by tile, ulp histograms.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "karat/golden/check_report.hpp"
#include "karat/report/html.hpp"
#include "karat/report/svg.hpp"

namespace karat::golden {
namespace {

using report::print;

void add_answer(report::HtmlPage& page, const CheckReport& report) {
  std::vector<std::string> lines;
  switch (report.verdict) {
    case Verdict::equal:
      lines = {"Equal, bit for bit."};
      break;
    case Verdict::within:
      lines = {"Matches: it differs no more than legal kernels do."};
      break;
    case Verdict::undecided:
      lines = {
          "Undecided: inside the worst case of what the recipe leaves free, but no legal kernel "
          "was "
          "seen to do this."};
      for (const StageReport& stage : report.stages)
        for (const Doubt& doubt : stage.doubts)
          lines.push_back(stage.stage + ", " + doubt_text(doubt));
      break;
    case Verdict::differs:
      lines = {"Differs: " + report.first_difference()->stage +
               " holds values that no correct kernel can write."};
      break;
  }
  page.answer(lines, tone_of(report.verdict));
}

void add_stages(report::HtmlPage& page, const CheckReport& report) {
  const std::vector<std::string> header{
      "stage", "result", "compared", "differing", "outside", "given its own inputs", "rel. L2"};
  std::vector<std::vector<std::string>> rows;
  report::ToneColumn results{.column = 1, .tones = {}};
  for (const StageReport& stage : report.stages) {
    results.tones.push_back(tone_of(stage.verdict));
    rows.push_back({stage.stage, std::string(verdict_name(stage.verdict)),
                    std::to_string(stage.compared), std::to_string(stage.differing),
                    std::to_string(stage.outside), forced_text(stage),
                    print("%.2e", stage.relative_l2)});
  }
  page.heading("Stages");
  page.table(header, rows, results);
}

/// Bars of log10(1 + count) for every ulp bin that is not empty, equal values left out.
std::string histogram(const StageReport& stage) {
  std::vector<std::pair<std::string, std::int64_t>> bars;
  for (std::size_t i = 1; i < stage.ulp_histogram.size(); ++i)
    if (stage.ulp_histogram[i] > 0)
      bars.emplace_back(i == 1 ? "1" : "<2^" + std::to_string(i), stage.ulp_histogram[i]);
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
  return svg.str();
}

/// White for no value outside, through orange to dark red for all.
std::string heat(double share) {
  if (share <= 0) return "#f4f6f8";
  const double t = std::sqrt(share);
  const auto mix = [&](double from, double to) { return static_cast<int>(from + (to - from) * t); };
  return print("#%02x%02x%02x", mix(255, 140), mix(214, 10), mix(170, 20));
}

/// Tiles of one head: t from left to right, each a map of h x w. Where tiles are no boxes of the
/// grid (clusters, text), one strip.
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
        const double share = tile.compared > 0 ? static_cast<double>(tile.outside) /
                                                     static_cast<double>(tile.compared)
                                               : 0.0;
        const std::string colour = heat(share);
        svg.rect({left + kCell * w, kTop + kCell * h}, kCell, kCell,
                 {.fill = colour, .stroke = "#d0d7de", .stroke_width = 0.5});
      }
  }
  return svg.str();
}

video::Extent3 tile_counts(const GoldenFile& golden) {
  const auto counted = [](int extent, int tile) { return (extent + tile - 1) / tile; };
  const video::Extent3 grid = golden.grid(), tile = golden.recipe().mask.tile;
  return {counted(grid.t, tile.t), counted(grid.h, tile.h), counted(grid.w, tile.w)};
}

void add_heat_maps(report::HtmlPage& page, const CheckReport& report, const GoldenFile& golden) {
  constexpr std::size_t kMostHeads = 12;
  std::size_t shown = 0;
  for (std::span<const TileError> rest = report.outputs.tiles;
       !rest.empty() && shown < kMostHeads;) {
    const TileError& first = rest.front();
    const auto end = std::ranges::find_if(rest, [&](const TileError& tile) {
      return tile.head != first.head || tile.batch != first.batch;
    });
    const std::span<const TileError> head =
        rest.first(static_cast<std::size_t>(end - rest.begin()));
    rest = rest.subspan(head.size());
    std::int64_t outside = 0;
    for (const TileError& tile : head) outside += tile.outside;
    if (outside == 0) continue;
    if (shown++ == 0) {
      page.heading("o by query tile");
      page.paragraph(
          "Share of a tile's values that no correct kernel can write: grey none, dark red all. One "
          "map of h (down) x w (across) for each t.");
    }
    page.figure(tile_map(head, tile_counts(golden)),
                print("batch %zu, head %zu: %lld values outside", first.batch, first.head,
                      static_cast<long long>(outside)));
  }
}

void add_histograms(report::HtmlPage& page, const CheckReport& report) {
  bool any = false;
  for (const StageReport& stage : report.stages) {
    const std::string svg = histogram(stage);
    if (svg.empty()) continue;
    if (!std::exchange(any, true)) {
      page.heading("Distance in ulp");
      page.paragraph(
          "Values by distance from the golden one, on a logarithmic scale; equal values are left "
          "out.");
    }
    page.figure(svg, stage.stage);
  }
}

}  // namespace

std::string to_page(const CheckReport& report, const GoldenFile& golden,
                    const cases::TensorSource& candidate) {
  const cases::HeadShape& shape = golden.shape();
  report::HtmlPage page(verdict_text(report, golden, candidate),
                        "karat check, recipe " + golden.recipe().name +
                            print(", %zu x %zu heads of ", shape.batch, shape.heads) +
                            video::to_string(golden.grid()) +
                            print(" = %zu tokens x %zu", shape.rows, shape.channels));
  add_answer(page, report);
  add_stages(page, report);
  add_heat_maps(page, report, golden);
  add_histograms(page, report);
  page.heading("As printed");
  page.code(to_text(report, golden, candidate));
  return page.str();
}

}  // namespace karat::golden
