// Charts and pages: every value lands where the axes say, and the text stays well-formed.
#include "karat/report/chart.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <regex>

#include "karat/report/html.hpp"

namespace karat::report {
namespace {

using testing::HasSubstr;
using testing::Not;

/// All circles' centres, in the order drawn.
std::vector<Point> circles(const std::string& svg) {
  static const std::regex pattern("<circle cx=\"([-0-9.]+)\" cy=\"([-0-9.]+)\"");
  std::vector<Point> out;
  for (std::sregex_iterator at(svg.begin(), svg.end(), pattern), end; at != end; ++at)
    out.push_back({std::stod((*at)[1]), std::stod((*at)[2])});
  return out;
}

Chart dots(Scale scale, std::vector<Point> points) {
  return {
      .title = "t",
      .x = {.title = "time"},
      .y = {.title = "error", .scale = scale},
      .series = {
          {.name = "a < b", .colour = "#0072b2", .mark = Mark::dots, .points = std::move(points)}}};
}

TEST(Chart, LinearAxesKeepProportions) {
  const auto at = circles(draw(dots(Scale::linear, {{0, 1}, {10, 2}, {30, 4}})));
  ASSERT_EQ(at.size(), 4u);  // and the legend's
  EXPECT_NEAR((at[2].x - at[0].x) / (at[1].x - at[0].x), 3, 0.01);
  EXPECT_NEAR((at[2].y - at[0].y) / (at[1].y - at[0].y), 3, 0.01);
  EXPECT_LT(at[2].y, at[0].y) << "larger stands higher";
}

TEST(Chart, LogarithmicAxesKeepRatiosAndDropWhatTheyCannotShow) {
  const auto at =
      circles(draw(dots(Scale::logarithmic, {{0, 1}, {1, 0}, {2, 10}, {3, NAN}, {4, 1000}})));
  ASSERT_EQ(at.size(), 4u);
  EXPECT_NEAR((at[2].y - at[0].y) / (at[1].y - at[0].y), 3, 0.01);
}

TEST(Chart, StaircaseHoldsEachValueUntilTheNext) {
  Chart chart = dots(Scale::linear, {{0, 2}, {1, 1}});
  chart.series[0].mark = Mark::staircase;
  const std::string svg = draw(chart);
  std::smatch match;
  ASSERT_TRUE(std::regex_search(svg, match,
                                std::regex("points=\"([-0-9.]+),([-0-9.]+) "
                                           "([-0-9.]+),([-0-9.]+) ([-0-9.]+),")));
  EXPECT_EQ(match[2], match[4]);
  EXPECT_EQ(match[3], match[5]);
}

/// Ends of the frame: left, top, right, bottom.
std::array<double, 4> frame_of(const std::string& svg) {
  static const std::regex pattern(
      "<rect x=\"([-0-9.]+)\" y=\"([-0-9.]+)\" width=\"([0-9.]+)\" height=\"([0-9.]+)\" [^>]*"
      "class=\"frame\"");
  std::smatch found;
  if (!std::regex_search(svg, found, pattern)) return {};
  const double x = std::stod(found[1]), y = std::stod(found[2]);
  return {x, y, x + std::stod(found[3]), y + std::stod(found[4])};
}

TEST(Chart, BandsAndWhiskersEndAtTheFrame) {
  for (const Mark mark : {Mark::line, Mark::staircase, Mark::dots}) {
    Chart chart = dots(Scale::logarithmic, {{0, 0.1}, {1, 0.2}});
    chart.series[0].mark = mark;
    chart.series[0].intervals = {{0, 1e-30, 0.3}, {1, -1, INFINITY}};
    const std::string svg = draw(chart);
    const auto [left, top, right, bottom] = frame_of(svg);
    static const std::regex marks(
        "<(?:polyline points=\"([^\"]+)\"|line x1=\"[-0-9.]+\" y1=\""
        "([-0-9.]+)\" x2=\"[-0-9.]+\" y2=\"([-0-9.]+)\")[^>]*"
        "class=\"mark\"");
    int seen = 0;
    for (std::sregex_iterator at(svg.begin(), svg.end(), marks), end; at != end; ++at) {
      std::vector<double> heights;
      if ((*at)[1].matched) {
        const std::string points = (*at)[1];
        static const std::regex pair("([-0-9.]+),([-0-9.]+)");
        for (std::sregex_iterator p(points.begin(), points.end(), pair); p != end; ++p) {
          EXPECT_GE(std::stod((*p)[1]), left - 0.01);
          EXPECT_LE(std::stod((*p)[1]), right + 0.01);
          heights.push_back(std::stod((*p)[2]));
        }
      } else {
        heights = {std::stod((*at)[2]), std::stod((*at)[3])};
      }
      for (const double y : heights) {
        ++seen;
        EXPECT_GE(y, top - 0.01);
        EXPECT_LE(y, bottom + 0.01);
      }
    }
    EXPECT_GE(seen, mark == Mark::dots ? 2 : 4);
  }
}

TEST(Chart, AxesSayWhatTheyMeasureAndInWhat) {
  Chart chart = dots(Scale::linear, {{0, 0.25}, {1, 0.5}});
  chart.y = {.title = "error", .unit = "%", .factor = 100};
  const std::string svg = draw(chart);
  EXPECT_THAT(svg, HasSubstr("class=\"title y\">error (%)</text>"));
  EXPECT_THAT(svg, HasSubstr("class=\"title x\">time</text>"));
  EXPECT_THAT(svg, HasSubstr("class=\"tick y\">50</text>")) << "0.5 is 50 %";
}

TEST(Chart, LongNamesAreSlantedAndStayInside) {
  Chart chart = dots(Scale::linear, {{0, 1}, {7, 2}});
  chart.x.names.assign(8, "fpsattention_coarse_q_smooth");
  const std::string svg = draw(chart);
  EXPECT_THAT(svg, HasSubstr("rotate(-28"));
  const double wide = text_width(chart.x.names[0], 11);
  EXPECT_GE(circles(svg).front().x - wide * std::cos(28 * std::acos(-1) / 180), -4);
  chart.x.names.assign(8, "qk");
  EXPECT_THAT(draw(chart), Not(HasSubstr("rotate(-28")));
}

TEST(Chart, ColumnsStandOnZero) {
  Chart chart = dots(Scale::linear, {{1, 4}, {2, 2}});
  chart.series[0].mark = Mark::columns;
  chart.series[0].words = {"four", "two"};
  const std::string svg = draw(chart);
  static const std::regex column(
      "<rect x=\"[-0-9.]+\" y=\"([0-9.]+)\" width=\"[0-9.]+\" height=\"([0-9.]+)\"[^>]*"
      "class=\"mark\"");
  std::vector<double> tops, heights;
  for (std::sregex_iterator at(svg.begin(), svg.end(), column), end; at != end; ++at) {
    tops.push_back(std::stod((*at)[1]));
    heights.push_back(std::stod((*at)[2]));
  }
  ASSERT_EQ(heights.size(), 2u);
  EXPECT_NEAR(heights[0] / heights[1], 2, 0.01);
  EXPECT_NEAR(tops[0] + heights[0], tops[1] + heights[1], 0.02);
  EXPECT_THAT(svg, HasSubstr(">four</text>"));
}

TEST(Chart, EmptyAndSingleValuesStillDraw) {
  for (const std::string& svg :
       {draw({}), draw(dots(Scale::linear, {{1, 1}})), draw(dots(Scale::logarithmic, {{1, 1}}))}) {
    EXPECT_THAT(svg, HasSubstr("</svg>"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(Chart, ValuesThatRoundingTellsApartAreOneValue) {
  // Steps between ticks would be too small to add.
  const double next = std::nextafter(1.0, 2.0);
  const auto at = circles(draw(dots(Scale::linear, {{1, 1}, {next, next}})));
  ASSERT_EQ(at.size(), 3u);
  EXPECT_EQ(at[0].x, at[1].x);
  EXPECT_EQ(at[0].y, at[1].y);
}

TEST(Chart, ColoursMixWithWhite) {
  EXPECT_EQ(paler("#0072b2", 0), "#0072b2");
  EXPECT_EQ(paler("#0072b2", 1), "#ffffff");
  EXPECT_EQ(paler("#000000", 0.2), "#333333");
  EXPECT_EQ(short_decimal(0.5), "0.5");
  EXPECT_EQ(short_decimal(1234.5, 5), "1234.5");
}

TEST(HtmlPage, IsOneFileThatLoadsNothing) {
  HtmlPage page("a & b", "<i>");
  page.table(std::vector<std::string>{"x"}, std::vector<std::vector<std::string>>{{"1 < 2"}});
  page.figure(draw({}), "caption");
  const std::string text = page.str();
  EXPECT_THAT(text, HasSubstr("<h1>a &amp; b</h1>"));
  EXPECT_THAT(text, HasSubstr("<td class=\"number\">1 &lt; 2</td>"));
  EXPECT_THAT(text, Not(HasSubstr("<i>")));
  for (const char* outside : {"src=", "href=", "@import", "url("})
    EXPECT_THAT(text, Not(HasSubstr(outside)));
}

}  // namespace
}  // namespace karat::report
