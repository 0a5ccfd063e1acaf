// Tables of a study: errors per recipe, amplification, the ladder.
#include "report/text.hpp"

#include "karat/study/report.hpp"
#include "report/advice.hpp"
#include "report/effects.hpp"

namespace karat::study {
namespace {

/// A recipe part by part; no rows where it was not taken apart.
report::Table ladder_table(const RecipeSummary& r) {
  report::Table table{
      .columns = figure_columns({r.name + ", part by part"}, {"so far", "given mask", "alone"}),
      .rows = {}};
  for (const auto& row : r.quantities) {
    if (row.key.measure() != Measure::rung) continue;
    const Part part = row.key.part();
    table.rows.push_back({"+ " + std::string(to_string(part)), percent_text(&row.average),
                          percent_text(find(r.quantities, {Measure::given, part})),
                          percent_text(find(r.quantities, {Measure::alone, part}))});
  }
  return table;
}

}  // namespace

std::string to_text(const StudyResult& result, const Summary& summary, report::TableStyle style) {
  if (result.pass == Pass::backward) return gradients_text(result, summary, style);
  std::string text = largest_effect(summary);
  if (!text.empty()) text += "\n\n";
  text += print("relative L2 error against dense FP64 attention, mean over %zu cells\n",
                result.jobs.size());
  report::Table errors{
      .columns = figure_columns({"recipe"}, {"both", "mask", "fp8", "fp8 | mask", "guided"}),
      .rows = {}};
  for (const auto& r : summary.recipes) {
    const auto of = [&](Measure measure) { return percent_text(find(r.quantities, measure)); };
    errors.rows.push_back({r.name, of(Measure::both), of(Measure::mask), of(Measure::fp8),
                           of(Measure::fp8_given_mask), of(Measure::guided)});
  }
  text += report::to_text(errors, style);
  text +=
      print("\namplification, geometric mean (95 %% interval over %d prompts and their cells)\n",
            summary.prompts);
  report::Table factors{
      .columns = {{"recipe"}, {"over the sum"}, {"over root-sum-square"}, {"conditional"}},
      .rows = {}};
  for (const auto& r : summary.recipes) {
    const auto of = [&](Amplification form) { return factor_text(find(r.amplifications, form)); };
    factors.rows.push_back(
        {r.name, of(Amplification::sum), of(Amplification::rss), of(Amplification::conditional)});
  }
  text += report::to_text(factors, style);
  for (const auto& r : summary.recipes)
    if (find(r.amplifications, Amplification::rss) == nullptr)
      if (const auto advice = tile_advice(result, r.recipe))
        text += print("\n%s: the mask drops nothing: %s\n", r.name.c_str(), advice->c_str());
  for (const auto& r : summary.recipes)
    if (const report::Table ladder = ladder_table(r); !ladder.rows.empty())
      text += "\n" + report::to_text(ladder, style);
  return text;
}

}  // namespace karat::study
