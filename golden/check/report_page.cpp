// A check as one page: the stage table, heat maps of o by tile, ulp histograms.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "karat/golden/check_report.hpp"
#include "karat/report/chart.hpp"
#include "karat/report/heat_map.hpp"
#include "karat/report/html.hpp"

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

/// How many values lie how far from the golden one, equal values left out.
std::string histogram(const StageReport& stage) {
  report::Chart chart{
      .title = stage.stage,
      .x = {.title = "distance from the golden value", .unit = "ulp"},
      .y = {.title = "values, logarithmic", .scale = report::Scale::logarithmic, .whole = true},
      .width = 640,
      .height = 260};
  report::Series bars = report::make_series("", 0, report::Mark::columns);
  for (std::size_t i = 1; i < stage.ulp_histogram.size(); ++i) {
    if (stage.ulp_histogram[i] == 0) continue;
    bars.points.push_back(
        {static_cast<double>(chart.x.names.size()), static_cast<double>(stage.ulp_histogram[i])});
    bars.words.push_back(std::to_string(stage.ulp_histogram[i]));
    chart.x.names.push_back(i == 1 ? "1" : "<2^" + std::to_string(i));
  }
  if (bars.points.empty()) return "";
  chart.series.push_back(std::move(bars));
  return draw(chart);
}

std::vector<std::string> numbers(int count, int step = 1) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(std::to_string(i * step));
  return names;
}

/// Tiles of one head: a map of h x w for each t. Where tiles are no boxes of the grid (clusters,
/// text), their numbers row by row.
std::string tile_maps(std::span<const TileError> tiles, video::Extent3 counts) {
  constexpr int kRow = 32;
  report::HeatMaps all{.x = {.title = "tile of w"},
                       .y = {.title = "tile of h"},
                       .colour = {.title = "values of a tile outside what correct kernels write",
                                  .unit = "%",
                                  .scale = report::Scale::logarithmic,
                                  .factor = 100},
                       .least = 1,
                       .most = 1,
                       .nothing = "none outside",
                       .maps = {}};
  const bool boxes = static_cast<std::size_t>(counts.volume()) == tiles.size();
  const auto count = static_cast<int>(tiles.size());
  if (!boxes) {
    counts = {1, (count + kRow - 1) / kRow, std::min(count, kRow)};
    all.x.title = "tile, added to its row";
    all.y.title = "first tile of the row";
  }
  all.x.names = numbers(counts.w);
  all.y.names = numbers(counts.h, boxes ? 1 : kRow);
  const std::size_t per_map = static_cast<std::size_t>(counts.h) * counts.w;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    if (i % per_map == 0)
      all.maps.push_back(
          {.title = boxes ? "tile " + std::to_string(i / per_map) + " of t" : "", .values = {}});
    const TileError& tile = tiles[i];
    const bool any = tile.outside > 0;
    const double share =
        any ? static_cast<double>(tile.outside) / static_cast<double>(tile.compared) : 0;
    if (any) all.least = std::min(all.least, share);
    all.maps.back().values.push_back(any ? share : std::numeric_limits<double>::quiet_NaN());
    all.maps.back().words.push_back(any ? std::to_string(tile.outside) : "");
  }
  all.least = std::min(0.1, std::pow(10, std::floor(std::log10(all.least))));
  return draw(all);
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
          "Share of a tile's values that no correct kernel can write: white none, dark red all. "
          "Where cells have room, how many.");
    }
    page.figure(tile_maps(head, tile_counts(golden)),
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
          "Values by distance from the golden one, in units of its last place; equal values are "
          "left out.");
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
