// Sections of a study's page, and the words and charts they share.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "karat/report/chart.hpp"
#include "karat/report/html.hpp"
#include "karat/study/summary.hpp"

namespace karat::study {

using report::short_decimal;
using Cells = std::vector<std::string>;

inline constexpr double kNothing = 1e-9;  // below: rounding of the truth itself
inline constexpr double kTooSmallToDraw = 1e-5;

inline std::string percent(double value) {
  return value < kNothing ? "0 %" : short_decimal(100 * value) + " %";
}
inline std::string percent(const statistics::Average* i) {
  return i == nullptr ? "" : percent(i->value);
}

inline std::string percent(const RecipeSummary& recipe, Quantity quantity) {
  return percent(find(recipe.quantities, quantity));
}

inline std::string percent_interval(const statistics::Average* i) {
  if (i == nullptr) return "";
  if (!std::isfinite(i->high)) return percent(i->value);
  return percent(i->value) + " (" + short_decimal(100 * std::max(0.0, i->low)) + " to " +
         short_decimal(100 * i->high) + ")";
}

inline std::string factor(const statistics::Average* i) {
  if (i == nullptr) return "";
  const std::string value = short_decimal(i->value);
  if (!std::isfinite(i->high)) return value;
  return value + " (" + short_decimal(i->low) + " to " + short_decimal(i->high) + ")";
}

inline report::Bar bar(double x, const statistics::Average& i) {
  const bool known = std::isfinite(i.low) && std::isfinite(i.high);  // not of a single cell
  return {x, known ? i.low : i.value, known ? i.high : i.value};
}

/// Relative L2 errors on a logarithmic axis.
inline report::Chart error_chart(const std::string& title, report::Axis x, double height) {
  return {.title = title,
          .x = std::move(x),
          .y = {.title = "relative L2 error",
                .unit = "%",
                .scale = report::Scale::logarithmic,
                .factor = 100},
          .width = 520,
          .height = height};
}

inline report::Axis step_axis() {
  return {.title = "denoising step, noisiest first", .whole = true};
}

// Each section adds itself, or nothing where there is nothing to say.
void add_ladders(report::HtmlPage& page, const Summary& summary);
void add_steps(report::HtmlPage& page, const StudyResult& result, const Summary& summary);
void add_cells(report::HtmlPage& page, const StudyResult& result, const Summary& summary);
void add_loci(report::HtmlPage& page, const StudyResult& result);
void add_sweeps(report::HtmlPage& page, const Summary& summary);

}  // namespace karat::study
