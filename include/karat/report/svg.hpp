// A small SVG writer: shapes and escaped text in document order. Same calls, same bytes.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace karat::report {

struct Point {
  double x = 0, y = 0;
};

/// Paint of a shape; an empty colour is not painted.
struct Paint {
  std::string_view fill;
  std::string_view stroke;
  double stroke_width = 1;
  std::string_view role{};  ///< what a reader of the file may look for: "frame", "mark"
};

enum class Anchor { start, middle, end };

struct TextStyle {
  double size = 12;
  Anchor anchor = Anchor::start;
  std::string_view fill = "#1f2328";
  bool bold = false;
  double rotate = 0;  ///< degrees clockwise around the text's point
  std::string_view role{};
};

/// Lengths are user units; numbers are written with at most two decimals. Coordinates are finite.
class Svg {
 public:
  /// A white canvas with viewBox 0 0 width height, shown as wide as its place allows.
  Svg(double width, double height);

  void rect(Point corner, double width, double height, const Paint& paint);
  void line(Point from, Point to, const Paint& paint);
  void circle(Point centre, double radius, const Paint& paint);
  void polyline(std::span<const Point> points, const Paint& paint);
  /// Baseline at the point. Text may hold any UTF-8; markup is escaped, control bytes are dropped.
  void text(Point at, std::string_view text, const TextStyle& style = {});
  /// What follows is moved by `offset`, until end_group().
  void begin_group(std::string_view role, Point offset = {});
  void end_group();

  /// The whole document.
  std::string str() const;

 private:
  void shape(std::string_view element, const Paint& paint);
  std::string body_;
};

/// How wide a text is at most in the fonts of browsers.
double text_width(std::string_view text, double size);

/// Text as it may stand in XML content and attributes.
std::string escape_xml(std::string_view text);

}  // namespace karat::report
