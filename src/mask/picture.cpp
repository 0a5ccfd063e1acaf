// Implementation of mask/picture.hpp.
#include "karat/mask/picture.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "karat/numerics/base/error.hpp"
#include "karat/report/svg.hpp"

namespace karat::mask {
namespace {

using report::Anchor;
using report::Point;
using report::Svg;
using video::Extent3;

constexpr std::string_view kNone = "#eef1f4", kPartial = "#e9a23b", kFull = "#2f6fb3",
                           kQuery = "#c4262e", kFrame = "#8c959f", kGrid = "#ffffff",
                           kQuiet = "#57606a";
constexpr double kMargin = 24, kLine = 18, kSide = 640;
constexpr std::size_t kMostCells = 300;

std::string_view colour(Cover cover) {
  return cover == Cover::full ? kFull : cover == Cover::partial ? kPartial : kNone;
}

double caption_height(const Caption& caption) {
  return kMargin + kLine * (1.5 + static_cast<double>(caption.lines.size()));
}

void draw_caption(Svg& svg, const Caption& caption) {
  double y = kMargin + 6;
  svg.text({kMargin, y}, caption.title, {.size = 16, .bold = true});
  for (const auto& line : caption.lines)
    svg.text({kMargin, y += kLine}, line, {.size = 12, .fill = kQuiet});
}

struct LegendEntry {
  std::string_view fill, stroke, words;
};

void draw_legend(Svg& svg, Point at, std::initializer_list<LegendEntry> entries) {
  for (const auto& entry : entries) {
    svg.rect(at, 14, 14, {.fill = entry.fill, .stroke = entry.stroke, .stroke_width = 1.5});
    svg.text({at.x + 20, at.y + 11}, entry.words, {.size = 12});
    at.x += 44 + 6.5 * static_cast<double>(entry.words.size());
  }
}

/// Neighbouring tiles joined until at most kMostCells ranges are left.
std::vector<Range> matrix_ranges(const video::TokenOrder& order) {
  const auto tiles = tile_ranges(order);
  const std::size_t step = (tiles.size() + kMostCells - 1) / kMostCells;
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < tiles.size(); i += step)
    ranges.push_back({tiles[i].begin, tiles[std::min(i + step, tiles.size()) - 1].end});
  return ranges;
}

/// One row of equal cells, equal neighbours in one rectangle.
void draw_row(Svg& svg, Point corner, double cell, const std::vector<Cover>& covers) {
  for (std::size_t j = 0; j < covers.size();) {
    std::size_t end = j + 1;
    while (end < covers.size() && covers[end] == covers[j]) ++end;
    if (covers[j] != Cover::none)
      svg.rect({corner.x + cell * static_cast<double>(j), corner.y},
               cell * static_cast<double>(end - j), cell, {.fill = colour(covers[j])});
    j = end;
  }
}

std::string to_words(const char* before, double number) {
  return before + std::to_string(static_cast<std::int64_t>(number));
}

}  // namespace

std::string draw_matrix(const Mask& mask, const video::TokenOrder& order, const Caption& caption) {
  const auto ranges = matrix_ranges(order);
  const double cell = kSide / static_cast<double>(ranges.size());
  const Point corner{kMargin + 20, caption_height(caption) + 20};
  Svg svg(corner.x + kSide + kMargin, corner.y + kSide + 50);
  draw_caption(svg, caption);
  svg.rect(corner, kSide, kSide, {.fill = kNone});
  const BlockMap map = block_map(mask, ranges, ranges);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    std::vector<Cover> covers(ranges.size(), Cover::none);
    for (const auto& entry : map.rows[i]) covers[entry.key_block] = entry.cover;
    draw_row(svg, {corner.x, corner.y + cell * static_cast<double>(i)}, cell, covers);
  }
  svg.rect(corner, kSide, kSide, {.stroke = kFrame});
  const auto tiles = static_cast<double>(order.tile_begin.size() - 1);
  svg.text({corner.x + kSide / 2, corner.y - 8}, to_words("key tiles 0 .. ", tiles - 1),
           {.anchor = Anchor::middle, .fill = kQuiet});
  svg.text({corner.x - 8, corner.y + kSide / 2}, to_words("query tiles 0 .. ", tiles - 1),
           {.anchor = Anchor::middle, .fill = kQuiet, .rotate = -90});
  draw_legend(svg, {corner.x, corner.y + kSide + 16},
              {{kFull, kFull, "every pair kept"},
               {kPartial, kPartial, "some pairs kept"},
               {kNone, kFrame, "no pair kept"}});
  return svg.str();
}

std::string draw_window(const Mask& mask, const video::Tiling& tiling,
                        const video::TokenOrder& order, int query_tile, const Caption& caption) {
  const Extent3 grid = tiling.grid(), tiles = tiling.tiles();
  const auto ranges = tile_ranges(order);
  if (std::ssize(ranges) != tiling.tile_count())
    throw Error(ErrorKind::internal, "mask picture", "the token order is of other tiles");
  if (query_tile < 0 || query_tile >= tiling.tile_count())
    throw Error(
        ErrorKind::usage, "tile",
        std::to_string(query_tile) + " is outside 0.." + std::to_string(tiling.tile_count() - 1),
        "pick a query tile of the grid");
  constexpr double kGap = 28, kWidth = 900;
  const int columns = std::min(tiles.t, grid.w > 2 * grid.h ? 3 : 4);
  const double scale = (kWidth - kGap * (columns - 1)) / (columns * static_cast<double>(grid.w));
  const double width = scale * grid.w, height = scale * grid.h;
  const int lines = (tiles.t + columns - 1) / columns;
  const double top = caption_height(caption);
  Svg svg(kWidth + 2 * kMargin, top + lines * (height + kGap) + 40);
  draw_caption(svg, caption);
  const auto slice_corner = [&](int t) {
    return Point{kMargin + (t % columns) * (width + kGap),
                 top + kGap - 6 + (t / columns) * (height + kGap)};
  };
  const auto draw_tile = [&](int tile, const report::Paint& paint) {
    const auto [origin, size] = tiling.box(tile);
    const Point corner = slice_corner(tiling.coordinate(tile).t);
    svg.rect({corner.x + origin.w * scale, corner.y + origin.h * scale}, size.w * scale,
             size.h * scale, paint);
  };
  for (int t = 0; t < tiles.t; ++t) {
    const auto [origin, size] = tiling.box(t * tiles.h * tiles.w);
    svg.text({slice_corner(t).x, slice_corner(t).y - 5},
             "frames " + std::to_string(origin.t) + " .. " + std::to_string(origin.t + size.t - 1),
             {.size = 11, .fill = kQuiet});
  }
  const double line = std::min(1.0, 0.1 * scale * std::min(tiling.tile().h, tiling.tile().w));
  for (int tile = 0; tile < tiling.tile_count(); ++tile)
    draw_tile(tile, {.fill = colour(mask.cover(ranges[query_tile], ranges[tile])),
                     .stroke = kGrid,
                     .stroke_width = line});
  draw_tile(query_tile, {.stroke = kQuery, .stroke_width = 2.5});
  for (int t = 0; t < tiles.t; ++t) svg.rect(slice_corner(t), width, height, {.stroke = kFrame});
  draw_legend(svg, {kMargin, top + lines * (height + kGap) + 12},
              {{kFull, kFull, "every pair kept"},
               {kPartial, kPartial, "some pairs kept"},
               {kNone, kFrame, "no pair kept"},
               {"", kQuery, "query tile"}});
  return svg.str();
}

}  // namespace karat::mask
