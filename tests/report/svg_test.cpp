// SVG documents: exact bytes of every shape, and text that cannot break out.
#include "karat/report/svg.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace karat::report {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Svg, IsADocumentWithAViewBox) {
  const std::string svg = Svg(100, 50.5).str();
  EXPECT_THAT(svg,
              StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 100 50.5\""));
  EXPECT_THAT(svg, EndsWith("</svg>\n"));
}

TEST(Svg, WritesShapesWithShortNumbers) {
  Svg svg(10, 10);
  svg.rect({1, 2.5}, 3.14159, 1e-9, {.fill = "#abc"});
  svg.line({-0.001, 0}, {100, 1234567}, {.stroke = "red", .stroke_width = 0.5});
  svg.circle({1, 1}, 0.125, {.fill = "red", .stroke = "blue"});
  const Point points[] = {{0, 0}, {1.5, 2}};
  svg.polyline(points, {.stroke = "green"});
  const std::string text = svg.str();
  EXPECT_THAT(text,
              HasSubstr("<rect x=\"1\" y=\"2.5\" width=\"3.14\" height=\"0\" fill=\"#abc\"/>"));
  EXPECT_THAT(text, HasSubstr("<line x1=\"0\" y1=\"0\" x2=\"100\" y2=\"1234567\" fill=\"none\" "
                              "stroke=\"red\" stroke-width=\"0.5\"/>"));
  EXPECT_THAT(text, HasSubstr("<circle cx=\"1\" cy=\"1\" r=\"0.13\" fill=\"red\" stroke=\"blue\" "
                              "stroke-width=\"1\"/>"));
  EXPECT_THAT(text, HasSubstr("<polyline points=\"0,0 1.5,2\" fill=\"none\" stroke=\"green\""));
}

TEST(Svg, TextIsEscapedAndPlaced) {
  Svg svg(10, 10);
  svg.text({1, 2}, "<b> & \"q\" 'a' \x01 t\xc3\xa4",
           {.size = 9, .anchor = Anchor::end, .bold = true, .rotate = -90});
  EXPECT_THAT(
      svg.str(),
      HasSubstr("<text x=\"1\" y=\"2\" font-size=\"9\" fill=\"#1f2328\" text-anchor=\"end\" "
                "font-weight=\"bold\" transform=\"rotate(-90 1 2)\">&lt;b&gt; &amp; "
                "&quot;q&quot; &#39;a&#39;  t\xc3\xa4</text>"));
}

TEST(Svg, ColoursCannotCloseTheirAttribute) {
  Svg svg(10, 10);
  svg.rect({0, 0}, 1, 1, {.fill = "\"><script>"});
  EXPECT_THAT(svg.str(), Not(HasSubstr("<script>")));
}

}  // namespace
}  // namespace karat::report
