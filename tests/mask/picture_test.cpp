// Pictures show what the mask keeps: cells are counted by colour.
#include "karat/mask/picture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "karat/mask/window.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using testing::HasSubstr;
using video::Extent3;
using video::Tiling;

constexpr const char* kFull = "#2f6fb3";
constexpr const char* kPartial = "#e9a23b";

/// Area of the rectangles of one colour, the legend's 14 x 14 sample excepted.
double area(const std::string& svg, const std::string& fill) {
  const std::regex rect(
      "<rect x=\"[^\"]*\" y=\"[^\"]*\" width=\"([^\"]*)\" height=\"([^\"]*)\" fill=\"" + fill +
      "\"");
  double sum = 0;
  for (std::sregex_iterator it(svg.begin(), svg.end(), rect), end; it != end; ++it)
    sum += std::stod((*it)[1]) * std::stod((*it)[2]);
  return sum - 14 * 14;
}

TEST(Picture, MatrixPaintsTheKeptShare) {
  const Tiling tiling({30, 48, 80}, {6, 8, 8});
  const auto order = tile_order(tiling);
  const auto svg = draw_matrix(*window_mask({}, tiling.grid(), order), order, {"a < b", {"line"}});
  EXPECT_NEAR(area(svg, kFull) / (640 * 640), 0.09, 1e-3);
  EXPECT_NEAR(area(svg, kPartial), 0, 1e-9);
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr("key tiles 0 .. 299"));
}

TEST(Picture, MatrixOfManyTilesJoinsNeighbours) {
  const Tiling tiling({1, 1, 5000}, {1, 1, 1});
  const auto order = tile_order(tiling);
  const Window window{.tile = {1, 1, 1}, .window = {1, 1, 1001}};
  const auto svg = draw_matrix(*window_mask(window, tiling.grid(), order), order, {});
  EXPECT_NEAR((area(svg, kFull) + area(svg, kPartial)) / (640 * 640), 0.2, 0.01);
  EXPECT_GT(area(svg, kPartial), 0);
  EXPECT_LT(svg.size(), 300000u);
}

TEST(Picture, WindowPaintsTheTilesTheQueryTileSees) {
  const Tiling tiling({21, 45, 80}, {6, 8, 8});
  const auto order = tile_order(tiling);
  const auto mask = window_mask({}, tiling.grid(), order);
  const auto svg = draw_window(*mask, tiling, order, 0, {"tile 0", {}});
  // 3 of 4 slices, 24 of 45 rows, 24 of 80 columns; four slices share 900 - 3 * 28 units.
  const double scale = (900 - 3 * 28) / (4 * 80.0);
  EXPECT_NEAR(area(svg, kFull), 3 * 24 * 24 * scale * scale, 5);
  EXPECT_THAT(svg, HasSubstr("frames 18 .. 20"));
}

TEST(Picture, RefusesTilesThatAreNotThere) {
  const Tiling tiling({2, 2, 2}, {1, 1, 1});
  const auto order = tile_order(tiling);
  const auto mask = dense_mask(order);
  EXPECT_THROW(draw_window(*mask, tiling, order, 8, {}), Error);
  EXPECT_THROW(draw_window(*mask, tiling, order, -1, {}), Error);
}

}  // namespace
}  // namespace karat::mask
