// Tables of a study of gradients: errors per recipe, amplification, the ladder.
#include "report/gradients.hpp"
#include "report/text.hpp"

namespace karat::study {
namespace {

std::string cosine_text(const statistics::Average* interval) {
  return interval == nullptr ? "-" : print("%.6f", interval->value);
}

/// A recipe part by part under the mask; no rows where it was not taken apart.
report::Table ladder_of_gradients(const RecipeSummary& r) {
  std::vector<std::string> figures;
  for (const Output output : kGradients) {
    const std::string name(to_string(output));
    figures.insert(figures.end(), {name, name + " alone"});
  }
  report::Table table{.columns = figure_columns({"part"}, figures), .rows = {}};
  for (const GradientPartRow& part : gradient_parts()) {
    const auto of = [&](Output output, Measure measure) {
      return find(r.quantities, error_of(output, measure, part.part));
    };
    if (of(Output::dq, Measure::rung) == nullptr) continue;
    std::vector<std::string> row{"+ " + std::string(part.name)};
    for (const Output output : kGradients)
      row.insert(row.end(), {percent_text(of(output, Measure::given)),
                             percent_text(of(output, Measure::alone))});
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// The recipe's name, once.
std::string name_beside(const RecipeSummary& r, Output output) {
  return output == Output::dq ? r.name : "";
}

}  // namespace

std::string gradients_text(const StudyResult& result, const Summary& summary,
                           report::TableStyle style) {
  std::string text =
      print("relative L2 error of dq, dk and dv against dense FP64, mean over %zu cells; dO %s\n",
            result.jobs.size(), std::string(to_string(result.output_gradient)).c_str());
  report::Table errors{
      .columns = figure_columns({"recipe", "of"}, {"both", "mask", "fp8", "fp8 | mask", "cosine"}),
      .rows = {}};
  for (const auto& r : summary.recipes)
    for (const Output output : kGradients) {
      const auto of = [&](Measure measure) {
        return percent_text(find(r.quantities, error_of(output, measure)));
      };
      errors.rows.push_back({name_beside(r, output), std::string(to_string(output)),
                             of(Measure::both), of(Measure::mask), of(Measure::fp8),
                             of(Measure::fp8_given_mask),
                             cosine_text(find(r.quantities, cosine_of(output, Measure::both)))});
    }
  text += report::to_text(errors, style);
  text +=
      print("\namplification, geometric mean (95 %% interval over %d prompts and their cells)\n",
            summary.prompts);
  report::Table factors{
      .columns = {{"recipe"}, {"of"}, {"over the sum"}, {"over root-sum-square"}, {"conditional"}},
      .rows = {}};
  for (const auto& r : summary.recipes)
    for (const Output output : kGradients) {
      const auto of = [&](Amplification form) {
        return factor_text(find(r.amplifications, {form, output}));
      };
      factors.rows.push_back({name_beside(r, output), std::string(to_string(output)),
                              of(Amplification::sum), of(Amplification::rss),
                              of(Amplification::conditional)});
    }
  text += report::to_text(factors, style);
  for (const auto& r : summary.recipes)
    if (const report::Table ladder = ladder_of_gradients(r); !ladder.rows.empty())
      text += "\n" + r.name + ", part by part under the mask: all so far, and this part alone\n" +
              report::to_text(ladder, style);
  return text;
}

}  // namespace karat::study
