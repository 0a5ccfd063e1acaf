// Where and when the error lives: over steps, by what is known of rows, over swept values.
#include <algorithm>
#include <cmath>
#include <set>

#include "report/sections.hpp"

namespace karat::study {
namespace {

/// Something a row can be sorted by.
struct LocusAxis {
  std::string_view name;
  std::string_view title, unit;
  double RowRecord::*value;
  double factor = 1;
};
constexpr LocusAxis kLocusAxes[] = {
    {"kept mass", "share of attention the mask keeps", "%", &RowRecord::kept_mass, 100},
    {"entropy", "entropy of the row's attention", "nats", &RowRecord::entropy},
    {"largest logit", "largest logit of the row", "nats", &RowRecord::max_logit},
    {"edge", "from the query to the window's edge", "tokens", &RowRecord::edge}};

/// Rows between two quantiles of an axis: sqrt(sum of squared errors / sum of squared truth).
struct LocusBin {
  double centre = 0;  ///< mean of the axis over the rows
  double mask = 0;    ///< of the mask against dense truth
  double fp8 = 0;     ///< of the recipe against the truth under its mask
  double both = 0;
  std::size_t rows = 0;
};
/// Sampled rows sorted by the axis, in bins of equal size; empty when the recipe was not taken
/// apart.
std::vector<LocusBin> locus(const StudyResult& result, std::int32_t recipe, const LocusAxis& axis) {
  constexpr std::size_t bins = 5;
  std::vector<const RowRecord*> rows;
  for (const JobResult& job : result.jobs)
    for (const RowRecord& row : job.rows)
      if (row.recipe == recipe) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [&](const RowRecord* a, const RowRecord* b) {
    return a->*axis.value < b->*axis.value;
  });
  std::vector<LocusBin> found;
  for (std::size_t b = 0; b < bins; ++b) {
    const std::size_t begin = rows.size() * b / bins, end = rows.size() * (b + 1) / bins;
    if (begin == end) continue;
    LocusBin bin{.rows = end - begin};
    double truth = 0;
    for (std::size_t i = begin; i < end; ++i) {
      bin.centre += rows[i]->*axis.value / static_cast<double>(end - begin);
      truth += rows[i]->truth;
      bin.mask += rows[i]->mask;
      bin.fp8 += rows[i]->given;
      bin.both += rows[i]->both;
    }
    for (double* error : {&bin.mask, &bin.fp8, &bin.both})
      *error = *error > 0 ? std::sqrt(*error / truth) : 0;
    found.push_back(bin);
  }
  return found;
}

}  // namespace

void add_steps(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  page.heading("Over denoising steps");
  std::vector<std::string> charts;
  for (const auto& [measure, title] :
       {std::pair{Measure::both, "Error of the recipe"},
        {Measure::fp8_given_mask, "FP8's share: error given the mask"}}) {
    report::Chart chart = error_chart(title, step_axis(), 340);
    for (std::size_t r = 0; r < summary.recipes.size(); ++r) {
      const RecipeSummary& recipe = summary.recipes[r];
      report::Series series = report::make_series(recipe.name, r);
      for (const StepPoint& point : recipe.steps)
        if (const auto i = average(result, recipe.recipe, measure, {.step = point.step})) {
          series.points.push_back({double(point.step), i->value});
          if (i->low > 0) series.intervals.push_back(bar(point.step, *i));
        }
      chart.series.push_back(series);
    }
    charts.push_back(draw(chart));
  }
  page.figures(charts, "Bands: 95 % intervals over prompts and cells.");
  const std::set<std::string> kinds(result.head_kinds.begin(), result.head_kinds.end());
  if (kinds.size() < 2) return;
  std::vector<Cells> rows;
  for (const std::string& kind : kinds) {
    Cells row{kind};
    for (const RecipeSummary& recipe : summary.recipes) {
      const auto both = average(result, recipe.recipe, Measure::both, {.head_kind = kind});
      const auto mass = average(result, recipe.recipe, Measure::kept_mass, {.head_kind = kind});
      row.push_back(both ? percent(both->value) + ", keeps " + percent(mass->value) : "");
    }
    rows.push_back(row);
  }
  Cells header{"head"};
  for (const RecipeSummary& recipe : summary.recipes) header.push_back(recipe.name);
  page.table(header, rows);
}

void add_loci(report::HtmlPage& page, const StudyResult& result) {
  for (std::int32_t r = 0; r < std::ssize(result.recipes); ++r) {
    std::vector<std::string> charts;
    for (const LocusAxis& axis : kLocusAxes) {
      const auto bins = locus(result, r, axis);
      if (bins.empty()) continue;
      report::Chart chart = error_chart(
          "By " + std::string(axis.name),
          {.title = std::string(axis.title), .unit = std::string(axis.unit), .factor = axis.factor},
          320);
      report::Series mask = report::make_series("mask", 0),
                     fp8 = report::make_series("FP8 given the mask", 1),
                     both = report::make_series("both", 2);
      for (const LocusBin& bin : bins) {
        if (bin.mask > kTooSmallToDraw) mask.points.push_back({bin.centre, bin.mask});
        fp8.points.push_back({bin.centre, bin.fp8});
        both.points.push_back({bin.centre, bin.both});
      }
      chart.series = {mask, fp8, both};
      charts.push_back(draw(chart));
    }
    if (charts.empty()) continue;
    page.heading("Where the error lives: " + result.recipes[r]);
    page.figures(charts,
                 "Sampled rows in five bins of equal size; errors pooled over the rows of a bin.");
  }
}

void add_sweeps(report::HtmlPage& page, const Summary& summary) {
  std::vector<SweepAxis> axes;
  for (const RecipeSummary& r : summary.recipes)
    if (r.swept && std::ranges::find(axes, r.swept->axis) == axes.end())
      axes.push_back(r.swept->axis);
  if (axes.empty()) return;
  std::vector<std::string> charts;
  std::vector<Cells> rows;
  for (const SweepAxis axis : axes) {
    const std::string name(to_string(axis));
    report::Chart chart = error_chart("Sweep of " + name, {.title = "value of " + name}, 300);
    report::Series both = report::make_series("both", 2),
                   fp8 = report::make_series("FP8 given the mask", 1);
    for (const RecipeSummary& r : summary.recipes) {
      if (!r.swept || r.swept->axis != axis) continue;
      const statistics::Average *all = find(r.quantities, Measure::both),
                                *given = find(r.quantities, Measure::fp8_given_mask);
      const auto x = static_cast<double>(chart.x.names.size());
      chart.x.names.push_back(r.swept->value);
      both.points.push_back({x, all->value});
      fp8.points.push_back({x, given->value});
      rows.push_back({name, r.swept->value, percent_interval(all), percent(r, Measure::mask),
                      percent_interval(given), percent(r, Measure::kept_mass)});
    }
    chart.series = {both, fp8};
    charts.push_back(draw(chart));
  }
  page.heading("Sweeps");
  page.figures(charts, "Edits of one field each; means over all cells.");
  page.table(Cells{"field", "value", "both", "mask alone", "FP8 given the mask",
                   "attention the mask keeps"},
             rows);
}

}  // namespace karat::study
