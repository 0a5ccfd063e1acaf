// Implementation of report/svg.hpp.
#include "karat/report/svg.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace karat::report {
namespace {

/// A picture in a narrow window is scrolled rather than made narrower than this.
constexpr double kLegible = 560;

/// Fixed point with trailing zeros dropped; -0 is 0.
std::string number(double x) {
  char buffer[400];
  const double rounded = std::round(x * 100) / 100 + 0.0;
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, rounded, std::chars_format::fixed, 2);
  std::string text(buffer, end.ptr);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + escape_xml(value) + "\"";
}
std::string attribute(std::string_view name, double value) {
  return attribute(name, number(value));
}

}  // namespace

double text_width(std::string_view text, double size) {
  const auto letters = std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
  return 0.58 * size * static_cast<double>(letters);
}

std::string escape_xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

Svg::Svg(double width, double height) {
  body_ =
      "<svg xmlns=\"http://www.w3.org/2000/svg\"" +
      attribute("viewBox", "0 0 " + number(width) + " " + number(height)) +
      attribute("width", width) + attribute("height", height) +
      attribute("style", "max-width:100%;min-width:" + number(std::min(kLegible, 0.85 * width)) +
                             "px;height:auto") +
      attribute("font-family", "system-ui, sans-serif") + ">\n";
  rect({0, 0}, width, height, {.fill = "#ffffff"});
}

void Svg::shape(std::string_view element, const Paint& paint) {
  body_ += "<" + std::string(element) + attribute("fill", paint.fill.empty() ? "none" : paint.fill);
  if (!paint.stroke.empty())
    body_ += attribute("stroke", paint.stroke) + attribute("stroke-width", paint.stroke_width);
  if (!paint.role.empty()) body_ += attribute("class", paint.role);
  body_ += "/>\n";
}

void Svg::rect(Point corner, double width, double height, const Paint& paint) {
  shape("rect" + attribute("x", corner.x) + attribute("y", corner.y) + attribute("width", width) +
            attribute("height", height),
        paint);
}

void Svg::line(Point from, Point to, const Paint& paint) {
  shape("line" + attribute("x1", from.x) + attribute("y1", from.y) + attribute("x2", to.x) +
            attribute("y2", to.y),
        paint);
}

void Svg::circle(Point centre, double radius, const Paint& paint) {
  shape("circle" + attribute("cx", centre.x) + attribute("cy", centre.y) + attribute("r", radius),
        paint);
}

void Svg::polyline(std::span<const Point> points, const Paint& paint) {
  std::string list;
  for (const Point p : points) list += (list.empty() ? "" : " ") + number(p.x) + "," + number(p.y);
  shape("polyline" + attribute("points", list), paint);
}

void Svg::text(Point at, std::string_view text, const TextStyle& style) {
  constexpr std::string_view kAnchors[] = {"start", "middle", "end"};
  body_ += "<text" + attribute("x", at.x) + attribute("y", at.y) +
           attribute("font-size", style.size) + attribute("fill", style.fill);
  if (style.anchor != Anchor::start)
    body_ += attribute("text-anchor", kAnchors[static_cast<int>(style.anchor)]);
  if (style.bold) body_ += attribute("font-weight", "bold");
  if (style.rotate != 0)
    body_ += attribute("transform", "rotate(" + number(style.rotate) + " " + number(at.x) + " " +
                                        number(at.y) + ")");
  if (!style.role.empty()) body_ += attribute("class", style.role);
  body_ += ">" + escape_xml(text) + "</text>\n";
}

void Svg::begin_group(std::string_view role, Point offset) {
  body_ += "<g" + attribute("class", role);
  if (offset.x != 0 || offset.y != 0)
    body_ += attribute("transform", "translate(" + number(offset.x) + " " + number(offset.y) + ")");
  body_ += ">\n";
}

void Svg::end_group() { body_ += "</g>\n"; }

std::string Svg::str() const { return body_ + "</svg>\n"; }

}  // namespace karat::report
