// The page of a study of gradients from the answer down.
#include "report/effects.hpp"
#include "report/gradients.hpp"

namespace karat::study {
namespace {

std::string name_of(Output output) { return std::string(to_string(output)); }

std::string page_cosine(const statistics::Average* i) {
  return i == nullptr ? "" : report::fixed_decimal(i->value, 6);
}

/// What the conditional amplifications of a recipe say.
std::string gradient_verdict(const RecipeSummary& recipe) {
  std::string errors, factors;
  for (const Output output : kGradients) {
    const std::string between = errors.empty() ? "" : ", ";
    errors += between + name_of(output) + " " +
              percent(recipe, error_of(output, Measure::fp8_given_mask));
    if (find(recipe.amplifications, {Amplification::rss, output}) != nullptr)
      factors += (factors.empty() ? "" : ", ") + name_of(output) + " " +
                 factor(find(recipe.amplifications, {Amplification::conditional, output}));
  }
  std::string text = recipe.name + ": rounding costs " + errors + " under its mask";
  if (factors.empty()) return text + ", which drops nothing here.";
  return text + ", times what it costs a dense kernel: " + factors + ".";
}

void add_gradient_errors(report::HtmlPage& page, const Summary& summary) {
  page.heading("Apart and together");
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    for (const Output output : kGradients) {
      const auto of = [&](Measure measure) {
        return find(r.quantities, error_of(output, measure));
      };
      rows.push_back({r.name, name_of(output), percent_interval(of(Measure::both)),
                      percent(of(Measure::mask)), percent(of(Measure::fp8)),
                      percent_interval(of(Measure::fp8_given_mask)),
                      page_cosine(find(r.quantities, cosine_of(output, Measure::both))),
                      page_cosine(find(r.quantities, cosine_of(output, Measure::fp8_given_mask)))});
    }
  page.table(Cells{"recipe", "", "both", "mask alone", "rounding alone", "rounding given the mask",
                   "cosine, both", "cosine given the mask"},
             rows);
}

struct Form {
  Amplification form;
  const char* words;
};
constexpr Form kForms[] = {
    {Amplification::sum, "both over the sum"},
    {Amplification::rss, "both over root-sum-square"},
    {Amplification::conditional, "rounding given the mask over rounding without it"}};

/// One form of every recipe whose mask drops something, a series a gradient.
std::string amplification_chart(const std::vector<const RecipeSummary*>& recipes,
                                const Form& form) {
  report::Chart chart{.title = form.words,
                      .x = {.title = "recipe"},
                      .y = {.title = "amplification", .unit = "times"},
                      .width = 900,
                      .height = 320};
  for (const RecipeSummary* recipe : recipes) chart.x.names.push_back(recipe->name);
  for (std::size_t g = 0; g < std::size(kGradients); ++g) {
    report::Series series = report::make_series(name_of(kGradients[g]), g, report::Mark::dots);
    for (std::size_t r = 0; r < recipes.size(); ++r) {
      const statistics::Average* i = find(recipes[r]->amplifications, {form.form, kGradients[g]});
      if (i == nullptr) continue;
      const double x = static_cast<double>(r) + 0.12 * (static_cast<double>(g) - 1);
      series.points.push_back({x, i->value});
      series.intervals.push_back(bar(x, *i));
    }
    chart.series.push_back(series);
  }
  chart.series.push_back({.name = "no interaction",
                          .colour = "#8c959f",
                          .points = {{-0.3, 1}, {double(recipes.size()) - 0.7, 1}}});
  return draw(chart);
}

void add_amplification(report::HtmlPage& page, const Summary& summary) {
  std::vector<const RecipeSummary*> sparse;
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes) {
    if (find(r.amplifications, {Amplification::rss, Output::dq}) == nullptr) continue;
    sparse.push_back(&r);
    for (const Output output : kGradients) {
      Cells& row = rows.emplace_back(Cells{r.name, name_of(output)});
      for (const Form& form : kForms)
        row.push_back(factor(find(r.amplifications, {form.form, output})));
    }
  }
  if (rows.empty()) return;
  page.heading("Does sparsity amplify rounding?");
  page.figure(amplification_chart(sparse, kForms[2]),
              "What rounding costs a kernel under the mask beside one without it; geometric means "
              "and 95 % intervals.");
  page.figure(amplification_chart(sparse, kForms[1]),
              "At 1 rounding and the mask err independently of each other; above, they amplify.");
  page.table(Cells{"recipe", "", "over the sum", "over root-sum-square", "conditional"}, rows);
}

/// One chart of a recipe's parts, a series a gradient.
report::Chart chart_of_parts(const RecipeSummary& recipe, const std::string& title,
                             Measure measure) {
  const bool so_far = measure == Measure::given;
  report::Chart chart = error_chart(title, {.title = "part of the recipe"}, 380);
  chart.width = 900;
  for (const GradientPartRow& part : gradient_parts())
    if (find(recipe.quantities, error_of(Output::dq, Measure::rung, part.part)) != nullptr)
      chart.x.names.push_back("+ " + std::string(part.name));
  for (std::size_t g = 0; g < std::size(kGradients); ++g) {
    report::Series series = report::make_series(name_of(kGradients[g]), g,
                                                so_far ? report::Mark::line : report::Mark::dots);
    double place = 0;
    for (const GradientPartRow& part : gradient_parts()) {
      const auto* i = find(recipe.quantities, error_of(kGradients[g], measure, part.part));
      if (find(recipe.quantities, error_of(Output::dq, Measure::rung, part.part)) == nullptr)
        continue;
      const double x = place++ + (so_far ? 0 : 0.12 * (static_cast<double>(g) - 1));
      if (i == nullptr || !(i->value > kTooSmallToDraw)) continue;
      series.points.push_back({x, i->value});
      if (!so_far) series.intervals.push_back(bar(x, *i));  // three bands would hide each other
    }
    chart.series.push_back(series);
  }
  return chart;
}

void add_ladder(report::HtmlPage& page, const RecipeSummary& recipe) {
  std::vector<Cells> errors, details;
  for (const GradientPartRow& part : gradient_parts()) {
    if (find(recipe.quantities, error_of(Output::dq, Measure::rung, part.part)) == nullptr)
      continue;
    const std::string name = "+ " + std::string(part.name);
    Cells& row = errors.emplace_back(Cells{name, std::string(part.meaning)});
    for (const Measure measure : {Measure::alone, Measure::given})
      for (const Output output : kGradients)
        row.push_back(percent(recipe, error_of(output, measure, part.part)));
    Cells& detail = details.emplace_back(Cells{name});
    for (const Output output : kGradients)
      detail.push_back(
          page_cosine(find(recipe.quantities, cosine_of(output, Measure::alone, part.part))));
    for (const Output output : kGradients)
      detail.push_back(percent(recipe, error_of(output, Measure::alone_dense, part.part)));
    for (const Output output : kGradients)
      detail.push_back(
          factor(find(recipe.amplifications, {Amplification::conditional, output, part.part})));
  }
  if (errors.empty()) return;
  page.figure(draw(chart_of_parts(recipe, recipe.name + ": each part alone, under the mask",
                                  Measure::alone)),
              "Parts that need codes of others are shown as the step they make; what is below 1e-5 "
              "stands in the table alone.");
  page.figure(
      draw(chart_of_parts(recipe, recipe.name + ": all parts up to this one", Measure::given)),
      "Each rung turns one more part of the exact kernel back into the recipe's.");
  page.table(Cells{"part", "", "dq alone", "dk", "dv", "dq, all so far", "dk", "dv"}, errors);
  page.paragraph(
      "The same parts alone: cosine under the mask, error of a dense kernel, and how many times "
      "that the part costs under the mask.");
  page.table(Cells{"part", "cosine of dq", "dk", "dv", "dq, no mask", "dk", "dv",
                   "dq, mask over none", "dk", "dv"},
             details);
}

void add_steps(report::HtmlPage& page, const Summary& summary) {
  std::vector<std::string> charts;
  for (const Output output : kGradients) {
    report::Chart chart = error_chart("Error of " + name_of(output), step_axis(), 320);
    for (std::size_t r = 0; r < summary.recipes.size(); ++r) {
      report::Series series = report::make_series(summary.recipes[r].name, r);
      for (const StepPoint& point : summary.recipes[r].steps)
        for (const auto& [of, error] : point.errors) {
          if (of != output) continue;
          series.points.push_back({double(point.step), error.value});
          if (error.low > 0) series.intervals.push_back(bar(point.step, error));
        }
      if (series.points.size() < 2) return;
      chart.series.push_back(series);
    }
    charts.push_back(draw(chart));
  }
  page.heading("Over denoising steps");
  page.figures(charts, "Bands: 95 % intervals over prompts and cells.");
}

void add_gradient_sweeps(report::HtmlPage& page, const Summary& summary) {
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes) {
    if (!r.swept) continue;
    rows.push_back({std::string(to_string(r.swept->axis)), r.swept->value});
    for (const Output output : kGradients)
      rows.back().push_back(
          percent_interval(find(r.quantities, error_of(output, Measure::fp8_given_mask))));
  }
  if (rows.empty()) return;
  page.heading("Sweeps");
  page.paragraph("Edits of one field each: rounding given the mask, means over all cells.");
  page.table(Cells{"field", "value", "dq", "dk", "dv"}, rows);
}

}  // namespace

void add_gradients(report::HtmlPage& page, const StudyResult& result, const Summary& summary,
                   const Summary& with_sweeps) {
  Cells lines;
  if (const std::string largest = largest_effect(summary); !largest.empty())
    lines.push_back(largest);
  for (const RecipeSummary& recipe : summary.recipes) lines.push_back(gradient_verdict(recipe));
  page.answer(lines);
  page.paragraph(
      "Errors are relative L2 against gradients in FP64, of sampled queries (dq) and keys (dk, "
      "dv), "
      "averaged over all cells. dO was " +
      std::string(to_string(result.output_gradient)) +
      ". Ranges in brackets are 95 % intervals over " + std::to_string(summary.prompts) +
      " prompts and their cells.");
  add_gradient_errors(page, summary);
  add_amplification(page, summary);
  page.heading("The ladder");
  page.paragraph(
      "A recipe is taken apart: gradients in FP64 under its mask, then part after part. The last "
      "rung is the recipe itself, bit for bit.");
  for (const RecipeSummary& recipe : summary.recipes) add_ladder(page, recipe);
  add_steps(page, summary);
  add_gradient_sweeps(page, with_sweeps);
}

}  // namespace karat::study
