// The error of every cell over step, layer and head, as colours.
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "karat/report/heat_map.hpp"
#include "report/sections.hpp"

namespace karat::study {
namespace {

constexpr std::size_t kMostMaps = 12;  // steps shown beside each other

/// One of the three axes of a study's cells: which of them were measured.
struct CellAxis {
  std::string title;
  std::int32_t capture::Job::*number;
  std::vector<std::int32_t> values{};

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const std::int32_t value : values) names.push_back(std::to_string(value));
    return names;
  }
};

struct CellAxes {
  CellAxis step{"denoising step", &capture::Job::step}, layer{"layer", &capture::Job::layer},
      head{"head", &capture::Job::head};
};

CellAxes axes_of(const StudyResult& result) {
  CellAxes axes;
  for (CellAxis* axis : {&axes.step, &axes.layer, &axes.head}) {
    std::set<std::int32_t> seen;
    for (const JobResult& job : result.jobs) seen.insert(job.job.*axis->number);
    axis->values.assign(seen.begin(), seen.end());
  }
  return axes;
}

struct Mean {
  double sum = 0;
  int count = 0;
};
using Place = std::array<std::int32_t, 3>;  // step, layer, head

/// Error of the recipe in each place, over prompts and branches.
std::map<Place, Mean> means_of(const StudyResult& result, std::int32_t recipe, Quantity quantity) {
  std::map<Place, Mean> means;
  for (const JobResult& job : result.jobs)
    for (const Figure& figure : job.figures) {
      if (figure.recipe != recipe || figure.quantity != quantity) continue;
      Mean& mean = means[{job.job.step, job.job.layer, job.job.head}];
      mean.sum += figure.value;
      ++mean.count;
    }
  return means;
}

/// At most kMostMaps of the steps, evenly, first and last among them.
std::vector<std::int32_t> shown_steps(const std::vector<std::int32_t>& all) {
  if (all.size() <= kMostMaps) return all;
  std::vector<std::int32_t> some;
  for (std::size_t i = 0; i < kMostMaps; ++i)
    some.push_back(all[i * (all.size() - 1) / (kMostMaps - 1)]);
  return some;
}

std::string picture(const std::map<Place, Mean>& means, const CellAxes& axes) {
  const bool both = axes.layer.values.size() > 1 && axes.head.values.size() > 1;
  // Layers by heads, a map a step; or what there is of the two by steps.
  const CellAxis& rows = axes.layer.values.size() > 1 ? axes.layer : axes.head;
  const CellAxis& columns = both ? axes.head : axes.step;
  report::HeatMaps all{.x = {.title = columns.title, .names = columns.names()},
                       .y = {.title = rows.title, .names = rows.names()},
                       .colour = {.title = "relative L2 error", .unit = "%", .factor = 100},
                       .least = std::numeric_limits<double>::infinity(),
                       .most = 0,
                       .maps = {}};
  const auto place = [&](std::int32_t map, std::int32_t row, std::int32_t column) {
    Place at{axes.step.values.front(), axes.layer.values.front(), axes.head.values.front()};
    if (both) return Place{map, row, column};
    at[0] = column;
    at[&rows == &axes.layer ? 1 : 2] = row;
    return at;
  };
  const std::vector<std::int32_t> maps =
      both ? shown_steps(axes.step.values) : std::vector<std::int32_t>{0};
  for (const std::int32_t map : maps) {
    report::HeatMap& one =
        all.maps.emplace_back(both ? axes.step.title + " " + std::to_string(map) : "");
    for (const std::int32_t row : rows.values)
      for (const std::int32_t column : columns.values) {
        const auto found = means.find(place(map, row, column));
        const double value = found == means.end() ? std::numeric_limits<double>::quiet_NaN()
                                                  : found->second.sum / found->second.count;
        one.values.push_back(value);
        one.words.push_back(std::isnan(value) ? "" : short_decimal(100 * value, 2));
        if (std::isnan(value)) continue;
        all.least = std::min(all.least, value);
        all.most = std::max(all.most, value);
      }
  }
  if (all.least > 0 && all.most > 8 * all.least) all.colour.scale = report::Scale::logarithmic;
  return draw(all);
}

}  // namespace

void add_cells(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  const CellAxes axes = axes_of(result);
  const auto several = [](const CellAxis& axis) { return axis.values.size() > 1; };
  if (several(axes.step) + several(axes.layer) + several(axes.head) < 2) return;
  page.heading("Over steps, layers and heads");
  bool first = true;
  for (const RecipeSummary& recipe : summary.recipes) {
    const auto means = means_of(result, recipe.recipe, Measure::both);
    if (means.empty()) continue;
    page.figure(
        picture(means, axes),
        recipe.name + ": error of every cell, means over prompts and branches" +
            (axes.step.values.size() > kMostMaps && several(axes.layer) && several(axes.head)
                 ? "; some of the steps."
                 : "."));
    if (first && summary.recipes.size() > 1) page.begin_fold("The other recipes");
    first = false;
  }
  if (!first && summary.recipes.size() > 1) page.end_fold();
}

}  // namespace karat::study
