// The page from the answer down to the command.
#include "karat/study/page.hpp"

#include "report/effects.hpp"
#include "report/gradients.hpp"

namespace karat::study {
namespace {

void add_answer(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  Cells lines;
  if (const std::string largest = largest_effect(summary); !largest.empty())
    lines.push_back(largest);
  for (const RecipeSummary& recipe : summary.recipes) lines.push_back(effect_of(result, recipe));
  page.answer(lines);
  page.paragraph(
      "Errors are relative L2 against dense attention in FP64, of sampled rows, averaged over all "
      "cells. Ranges in brackets are 95 % intervals over " +
      std::to_string(summary.prompts) + " prompts and their cells.");
}

void add_errors(report::HtmlPage& page, const Summary& summary) {
  page.heading("Apart and together");
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    rows.push_back({r.name, percent_interval(find(r.quantities, Measure::both)),
                    percent(r, Measure::mask), percent(r, Measure::fp8),
                    percent(r, Measure::fp8_given_mask), percent(r, Measure::kept_mass),
                    percent(r, Measure::guided)});
  page.table(Cells{"recipe", "both", "mask alone", "FP8 alone", "FP8 given the mask",
                   "attention the mask keeps", "both, through guidance"},
             rows);
  report::Chart chart{.title = "Amplification, geometric mean and 95 % interval",
                      .x = {.title = "recipe"},
                      .y = {.title = "amplification", .unit = "times"},
                      .width = 900,
                      .height = 380};
  const struct {
    Amplification form;
    const char* words;
  } forms[] = {{Amplification::sum, "both over the sum"},
               {Amplification::rss, "both over root-sum-square"},
               {Amplification::conditional, "FP8 given the mask over FP8 dense"}};
  for (std::size_t f = 0; f < std::size(forms); ++f) {
    report::Series series = report::make_series(forms[f].words, f, report::Mark::dots);
    for (std::size_t r = 0; r < summary.recipes.size(); ++r)
      if (const statistics::Average* i = find(summary.recipes[r].amplifications, forms[f].form)) {
        const double x = static_cast<double>(r) + 0.12 * (static_cast<double>(f) - 1);
        series.points.push_back({x, i->value});
        series.intervals.push_back(bar(x, *i));
      }
    chart.series.push_back(series);
  }
  for (const RecipeSummary& r : summary.recipes) chart.x.names.push_back(r.name);
  chart.series.push_back({.name = "no interaction of independent errors",
                          .colour = "#8c959f",
                          .points = {{-0.3, 1}, {double(summary.recipes.size()) - 0.7, 1}}});
  page.figure(
      draw(chart),
      "1 over root-sum-square: FP8 and sparsity err independently of each other. Above: they "
      "amplify. The sum is what they would make at worst, both errors pointing the same way.");
  rows.clear();
  for (const RecipeSummary& r : summary.recipes) {
    rows.push_back({r.name});
    for (const Amplification form : kAmplifications)
      rows.back().push_back(factor(find(r.amplifications, form)));
  }
  page.table(Cells{"recipe", "over the sum", "over root-sum-square", "conditional", "guided, sum",
                   "guided, root-sum-square"},
             rows);
}

void add_guidance(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    if (const statistics::Average* guided = find(r.quantities, Measure::guided))
      rows.push_back({r.name, percent(r, Measure::both), percent_interval(guided),
                      percent(r, Measure::guided_common), percent(r, Measure::guided_independent)});
  if (rows.empty()) return;
  page.heading("Through guidance");
  page.paragraph(
      "Guidance computes u + g*(c - u) with g = " + short_decimal(result.guidance) +
      ". What both branches err alike passes once; what they err differently is multiplied by "
      "g - 1/2.");
  page.table(Cells{"recipe", "one branch", "guided", "common part", "independent part"}, rows);
}

void add_underflow(report::HtmlPage& page, const Summary& summary) {
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    for (std::size_t i = 0; i < std::size(kUnderflows); i += 2)
      if (const statistics::Average* up = find(r.quantities, Quantity::lost(i)))
        rows.push_back({r.name, std::to_string(kUnderflows[i].multiplier), percent(up),
                        percent(r, Quantity::lost(i + 1))});
  if (rows.empty()) return;
  page.heading("P that underflows");
  page.paragraph(
      "Share of the kept attention whose E4M3 code is 0, by P's multiplier and the order of the "
      "key blocks: P refers to the largest score seen so far, so the order decides.");
  page.table(Cells{"recipe", "multiplier", "key blocks ascending", "descending"}, rows);
}

}  // namespace

std::string html_page(const StudyResult& result, const Summary& all,
                      const report::Provenance& made_by) {
  Summary summary{.recipes = {}, .prompts = all.prompts};  // those that no sweep made
  for (const RecipeSummary& recipe : all.recipes)
    if (!recipe.swept) summary.recipes.push_back(recipe);
  const bool gradients = result.pass == Pass::backward;
  report::HtmlPage page(gradients ? "What FP8 and sparsity cost the gradients"
                                  : "What FP8 and sparsity cost, apart and together",
                        result.origin + "; " + std::to_string(result.jobs.size()) +
                            " cells of (prompt, step, layer, head)");
  if (gradients) {
    add_gradients(page, result, summary, all);
  } else {
    add_answer(page, result, summary);
    add_errors(page, summary);
    add_ladders(page, summary);
    add_steps(page, result, summary);
    add_cells(page, result, summary);
    add_loci(page, result);
    add_sweeps(page, all);
    add_guidance(page, result, summary);
    add_underflow(page, summary);
  }
  page.heading("Limits");
  page.bullets(Cells{
      "Generated workloads demonstrate mechanisms; what they say about a network is what its own "
      "captures confirm.",
      "Errors are of single attention layers. They do not follow an error through layers and "
      "steps.",
      "Intervals cover the choice of prompts, cells and rows, not the choice of the workload's "
      "parameters."});
  page.heading("Made by");
  page.code(made_by.command + "\nkarat " + made_by.version + "\nstudy " + result.identity.sha256);
  page.begin_fold("What was asked, in full");
  page.code(result.identity.text);
  page.end_fold();
  return page.str();
}

}  // namespace karat::study
