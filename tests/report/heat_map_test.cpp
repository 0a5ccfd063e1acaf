// Heat maps: every value a cell that can be seen, a scale with ticks, colours in order.
#include "karat/report/heat_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>

namespace karat::report {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Cell {
  double width, height;
  std::string fill;
};
std::vector<Cell> cells(const std::string& svg) {
  static const std::regex pattern(
      "<rect [^>]*width=\"([0-9.]+)\" height=\"([0-9.]+)\" fill=\"([^\"]+)\"[^>]*class=\"mark\"");
  std::vector<Cell> out;
  for (std::sregex_iterator at(svg.begin(), svg.end(), pattern), end; at != end; ++at)
    out.push_back({std::stod((*at)[1]), std::stod((*at)[2]), (*at)[3]});
  return out;
}

HeatMaps maps_of(std::size_t count, std::size_t columns, std::size_t rows) {
  HeatMaps all{.x = {.title = "head"},
               .y = {.title = "layer"},
               .colour = {.title = "error", .unit = "%"},
               .least = 0,
               .most = 10,
               .maps = {}};
  for (std::size_t i = 0; i < columns; ++i) all.x.names.push_back(std::to_string(i));
  for (std::size_t i = 0; i < rows; ++i) all.y.names.push_back(std::to_string(i));
  all.maps.assign(count, {.title = "step", .values = std::vector<double>(columns * rows, 5)});
  return all;
}

TEST(HeatMap, CellsCanBeSeenHoweverMany) {
  for (const std::size_t count : {1, 3, 12})
    for (const std::size_t columns : {1, 4, 13, 40}) {
      const auto found = cells(draw(maps_of(count, columns, 8)));
      ASSERT_EQ(found.size(), count * columns * 8);
      for (const Cell& cell : found) {
        EXPECT_GE(cell.width, 13.9) << count << " maps of " << columns;
        EXPECT_GE(cell.height, 13.9);
        EXPECT_LE(cell.width, 60);
      }
    }
}

TEST(HeatMap, ColoursFollowTheScaleAndNothingIsWhite) {
  HeatMaps all = maps_of(1, 3, 1);
  all.maps[0].values = {0, 10, std::numeric_limits<double>::quiet_NaN()};
  const std::string svg = draw(all);
  const auto found = cells(svg);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].fill, heat_colour(0));
  EXPECT_EQ(found[1].fill, heat_colour(1));
  EXPECT_EQ(found[2].fill, "#ffffff");
  EXPECT_THAT(svg, HasSubstr("not measured"));
  EXPECT_THAT(svg, HasSubstr("error (%)"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(draw(maps_of(1, 3, 1)), Not(HasSubstr("not measured")));
}

TEST(HeatMap, CellsBehindTheLastValueAreNotDrawn) {
  HeatMaps all = maps_of(1, 4, 2);
  all.maps[0].values.resize(6);
  EXPECT_EQ(cells(draw(all)).size(), 6u);
}

TEST(HeatMap, HeatDarkens) {
  const auto brightness = [](double share) {
    unsigned rgb = 0;
    std::sscanf(heat_colour(share).c_str(), "#%06x", &rgb);
    return 299 * (rgb >> 16) + 587 * (rgb >> 8 & 255) + 114 * (rgb & 255);
  };
  for (double share = 0.01; share <= 1; share += 0.01)
    EXPECT_LE(brightness(share), brightness(share - 0.01)) << share;
}

}  // namespace
}  // namespace karat::report
