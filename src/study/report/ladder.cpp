// The ladder: a recipe's error part by part, and its suspects.
#include "karat/study/ladder.hpp"

#include "report/sections.hpp"

namespace karat::study {
namespace {

void ladder_of(report::HtmlPage& page, const RecipeSummary& recipe) {
  report::Chart chart = error_chart(recipe.name + ": error under the mask, part by part",
                                    {.title = "part of the recipe"}, 380);
  chart.width = 900;
  report::Series so_far = report::make_series("all parts up to this one", 0);
  report::Series alone = report::make_series("this part alone", 1, report::Mark::dots);
  report::Series theory =
      report::make_series("predicted for the part alone", 2, report::Mark::dots);
  std::vector<Cells> rows;
  rows.push_back({"mask", "what the mask drops", percent(recipe, Measure::mask), "", "", ""});
  for (const PartRow& part : parts()) {
    const std::string name(part.name);
    const statistics::Average* rung = find(recipe.quantities, {Measure::rung, part.part});
    if (rung == nullptr) continue;
    const auto x = static_cast<double>(chart.x.names.size());
    chart.x.names.push_back("+ " + name);
    const statistics::Average *given = find(recipe.quantities, {Measure::given, part.part}),
                              *one = find(recipe.quantities, {Measure::alone, part.part}),
                              *predicted = find(recipe.quantities, {Measure::theory, part.part});
    so_far.points.push_back({x, given->value});
    so_far.intervals.push_back(bar(x, *given));
    if (one->value > kTooSmallToDraw) {
      alone.points.push_back({x, one->value});
      alone.intervals.push_back(bar(x, *one));
    }
    if (predicted != nullptr) theory.points.push_back({x + 0.12, predicted->value});
    rows.push_back({"+ " + name, std::string(part.meaning), percent(rung), percent(given),
                    percent(one), percent(predicted)});
  }
  if (chart.x.names.empty()) return;
  chart.series = {so_far, alone, theory};
  page.figure(
      draw(chart),
      "Each rung turns one part of the exact kernel back into the recipe's. Parts that need codes "
      "of others (accumulator, exp2) are shown as the step they make; what is below 1e-5 stands in "
      "the "
      "table alone.");
  page.table(Cells{"part", "", "against dense", "against the mask's truth", "alone", "predicted"},
             rows);
}

}  // namespace

void add_ladders(report::HtmlPage& page, const Summary& summary) {
  page.heading("The ladder");
  page.paragraph(
      "A recipe is taken apart: dense FP64, then the mask alone, then part after part. The last "
      "rung "
      "is the recipe itself, bit for bit.");
  for (const RecipeSummary& recipe : summary.recipes) ladder_of(page, recipe);
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    for (const SuspectRow& row : suspects())
      if (const statistics::Average* i = find(r.quantities, row.suspect))
        rows.push_back(
            {std::string(row.meaning), r.name, percent(r, Measure::both), percent_interval(i)});
  if (rows.empty()) return;
  page.paragraph(
      "Suspects: what a literal reading of the published kernel would change, one edit at a "
      "time.");
  page.table(Cells{"edit", "of", "without it", "with it"}, rows);
}

}  // namespace karat::study
