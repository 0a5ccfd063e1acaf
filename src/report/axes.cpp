// Implementation of report/axes.hpp.
#include "karat/report/axes.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace karat::report {
namespace {

constexpr double kTickSize = 11, kAxisTitleSize = 12, kSlant = 28;  // degrees

double widest(const std::vector<Tick>& ticks) {
  double width = 0;
  for (const Tick& tick : ticks) width = std::max(width, text_width(tick.label, kTickSize));
  return width;
}

/// The names as ticks, at 0, 1, ...
std::vector<Tick> names_of(const Axis& axis) {
  std::vector<Tick> found;
  for (const std::string& name : axis.names)
    found.push_back({static_cast<double>(found.size()), name});
  return found;
}

/// How many names must be passed over for the rest to have room.
std::size_t every_of(std::size_t count, double room_of_one, double wanted) {
  return count == 0 ? 1 : std::max<std::size_t>(1, std::ceil(wanted / room_of_one));
}

}  // namespace

std::string label_of(const Axis& axis) {
  return axis.unit.empty() ? axis.title : axis.title + " (" + axis.unit + ")";
}

Ruler::Ruler(const Axis& axis)
    : scale_(axis.scale), whole_(axis.whole), named_(!axis.names.empty()), factor_(axis.factor) {
  if (!named_) return;
  cover(-0.5);
  cover(static_cast<double>(axis.names.size()) - 0.5);
}

double Ruler::measure(double value) const {
  return scale_ == Scale::linear ? factor_ * value : std::log10(factor_ * value);
}

bool Ruler::shows(double value) const {
  return std::isfinite(value) && (scale_ == Scale::linear || value > 1e-300);
}

void Ruler::cover(double value) {
  if (!shows(value)) return;
  low_ = std::min(low_, measure(value));
  high_ = std::max(high_, measure(value));
}

void Ruler::settle(double margin) {
  if (named_) return;
  if (!(low_ <= high_)) low_ = 0, high_ = 1;
  // Values closer than this are one value: no ticks could be told apart between them.
  const double largest = std::max(std::abs(low_), std::abs(high_));
  const double room = high_ - low_ > 1e-9 * largest  ? margin * (high_ - low_)
                      : scale_ == Scale::logarithmic ? 0.3
                      : whole_ || largest == 0       ? 0.5
                                                     : 0.1 * largest;
  low_ -= room;
  high_ += room;
}

double Ruler::at(double value) const {
  return from_ + (measure(value) - low_) / (high_ - low_) * (to_ - from_);
}

double Ruler::clipped(double value) const {
  if (!shows(value)) return value > 0 ? to_ : from_;
  return std::clamp(at(value), std::min(from_, to_), std::max(from_, to_));
}

std::vector<Tick> Ruler::marks(int most) const {
  const bool linear = scale_ == Scale::linear;
  auto found = ticks(linear ? low_ : std::pow(10, low_), linear ? high_ : std::pow(10, high_),
                     {.scale = scale_, .whole = whole_, .most = most});
  for (Tick& tick : found) tick.value /= factor_;
  return found;
}

Panel::Panel(Axis x_axis, Axis y_axis)
    : x(x_axis), y(y_axis), x_axis_(std::move(x_axis)), y_axis_(std::move(y_axis)) {}

double Panel::fit(double width, double from_top, double height, double margin_x, double margin_y) {
  x.settle(margin_x);
  y.settle(margin_y);
  top = from_top;
  bottom = top + height;
  y_places_ = {.ticks = y_axis_.names.empty() ? y.marks(static_cast<int>(height / 36))
                                              : names_of(y_axis_)};
  if (!y_axis_.names.empty()) {
    y_places_.every =
        every_of(y_axis_.names.size(), height / static_cast<double>(y_axis_.names.size()), 11);
    y.place(top, bottom);
  } else {
    y.place(bottom, top);
  }
  left = 36 + widest(y_places_.ticks);
  right = width - 16;
  if (x_axis_.names.empty()) {
    x_places_.ticks = x.marks(8);
    const double room = (right - left) / (widest(x_places_.ticks) + 16);
    if (room < 8) x_places_.ticks = x.marks(static_cast<int>(room));
    x.place(left, right);
    return bottom + 44;
  }
  x_places_.ticks = names_of(x_axis_);
  const auto names = static_cast<double>(x_axis_.names.size());
  const double wide = widest(x_places_.ticks), one = (right - left) / names;
  const bool numbers = wide < 30;  // short ones are passed over, long ones are slanted
  x_places_.slanted = !numbers && wide + 10 > one;
  x_places_.every = every_of(x_axis_.names.size(), one, numbers ? wide + 8 : 14);
  if (x_places_.slanted) {
    const double angle = kSlant * std::acos(-1) / 180;
    x_places_.depth = wide * std::sin(angle);
    left = std::max(left, wide * std::cos(angle) - 0.5 * one + 4);
  }
  x.place(left, right);
  return bottom + 44 + x_places_.depth;
}

void Panel::draw_axes(Svg& svg) const {
  const double middle = (top + bottom) / 2;
  for (std::size_t i = 0; i < y_places_.ticks.size(); i += y_places_.every) {
    const double at = y.at(y_places_.ticks[i].value);
    if (y_axis_.names.empty()) svg.line({left, at}, {right, at}, {.stroke = kGridLine});
    svg.text({left - 6, at + 4}, y_places_.ticks[i].label,
             {.size = kTickSize, .anchor = Anchor::end, .fill = kQuiet, .role = "tick y"});
  }
  const bool slanted = x_places_.slanted;
  for (std::size_t i = 0; i < x_places_.ticks.size(); i += x_places_.every) {
    const Tick& tick = x_places_.ticks[i];
    const double at = x.at(tick.value);
    if (x_axis_.names.empty()) svg.line({at, top}, {at, bottom}, {.stroke = kGridLine});
    svg.text({at + (slanted ? 4 : 0), bottom + 16}, tick.label,
             {.size = kTickSize,
              .anchor = slanted ? Anchor::end : Anchor::middle,
              .fill = kQuiet,
              .rotate = slanted ? -kSlant : 0,
              .role = "tick x"});
  }
  svg.rect({left, top}, right - left, bottom - top, {.stroke = kFrameLine, .role = "frame"});
  svg.text({(left + right) / 2, bottom + 36 + x_places_.depth}, label_of(x_axis_),
           {.size = kAxisTitleSize, .anchor = Anchor::middle, .fill = kInk, .role = "title x"});
  svg.text({16, middle}, label_of(y_axis_),
           {.size = kAxisTitleSize,
            .anchor = Anchor::middle,
            .fill = kInk,
            .rotate = -90,
            .role = "title y"});
}

std::vector<std::string> wrapped(std::string_view text, double width, double size) {
  std::vector<std::string> lines;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    if (lines.empty() || text_width(lines.back() + " " + word, size) > width)
      lines.push_back(word);
    else
      lines.back() += " " + word;
  }
  return lines;
}

}  // namespace karat::report
