// Where and when the error lives: over steps, by what is known of rows, over swept values.
#include <set>

#include "karat/study/locus.hpp"
#include "report/sections.hpp"

namespace karat::study {

void add_steps(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  page.heading("Over denoising steps");
  std::vector<std::string> charts;
  for (const auto& [measure, title] :
       {std::pair{Measure::both, "Error of the recipe"},
        {Measure::fp8_given_mask, "FP8's share: error given the mask"}}) {
    report::Chart chart = error_chart(title, "step, noisiest first", 340);
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
    for (const LocusAxis& axis : locus_axes()) {
      const auto bins = locus(result, r, axis);
      if (bins.empty()) continue;
      report::Chart chart =
          error_chart("By " + std::string(axis.name), std::string(axis.title), 320);
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
    report::Chart chart = error_chart(name, "", 300);
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
      rows.push_back({name, r.swept->value, percent_interval(all),
                      percent(find(r.quantities, Measure::mask)), percent_interval(given),
                      percent(find(r.quantities, Measure::kept_mass))});
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
