// The frame of a picture: two axes with names, units and ticks, and what lies between them.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "karat/report/svg.hpp"
#include "karat/report/ticks.hpp"

namespace karat::report {

inline constexpr std::string_view kInk = "#1f2328", kQuiet = "#57606a", kGridLine = "#e6e9ec",
                                  kFrameLine = "#afb8c1";

struct Axis {
  std::string title;
  std::string unit{};  ///< of numbers: "s", "%", "times"; things that are counted have none
  Scale scale = Scale::linear;
  std::vector<std::string> names{};  ///< of 0, 1, ...: no numbers then; downwards on a y axis
  bool whole = false;                ///< of counted things, as steps: ticks at whole numbers alone
  double factor = 1;                 ///< what values are multiplied by for the axis: 100 for "%"
};

/// Title and unit, as they stand at the axis.
std::string label_of(const Axis& axis);

/// One axis: from values to user units. First everything is covered, then settled, then placed.
class Ruler {
 public:
  explicit Ruler(const Axis& axis);

  /// Whether the axis can show it: finite, and positive on a logarithmic scale.
  bool shows(double value) const;
  /// Makes the axis long enough for it, where it can be shown.
  void cover(double value);
  /// Widens by a share on both sides. One value alone gets room around it.
  void settle(double margin);
  void place(double from, double to) { from_ = from, to_ = to; }

  /// @pre shows(value)
  double at(double value) const;
  /// The same, at the frame's edge where it would lie outside; what cannot be shown lies below.
  double clipped(double value) const;
  /// Places are values of the axis, unlike labels: those are multiplied by its factor.
  std::vector<Tick> marks(int most) const;

 private:
  double measure(double value) const;
  Scale scale_;
  bool whole_, named_;
  double factor_, from_ = 0, to_ = 1;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

/// Two axes around a box. Its parts have roles in the SVG: "frame", "title x", "tick x", "title y",
/// "tick y"; what is drawn inside is a "mark".
class Panel {
 public:
  Panel(Axis x, Axis y);

  Ruler x, y;
  double left = 0, top = 0, right = 0, bottom = 0;  ///< of the box, once fitted

  /// Settles both axes and finds the box: of that width from edge to edge, labels included, and
  /// that height inside. `top` is the box's upper side. Returns where the labels end below.
  double fit(double width, double top, double height, double margin_x = 0.03,
             double margin_y = 0.06);
  /// Grid lines, frame, ticks and titles.
  void draw_axes(Svg& svg) const;

 private:
  struct Places {
    std::vector<Tick> ticks;
    std::size_t every = 1;  ///< names shown
    bool slanted = false;   ///< names that have no room beside each other
    double depth = 0;       ///< of slanted names
  };
  Axis x_axis_, y_axis_;
  Places x_places_, y_places_;
};

/// Words of the text in lines no wider than `width`.
std::vector<std::string> wrapped(std::string_view text, double width, double size);

}  // namespace karat::report
