// The page's sections, from the answer down to the command.
#include "karat/study/page.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "karat/report/chart.hpp"
#include "karat/report/html.hpp"
#include "karat/study/ladder.hpp"
#include "karat/study/locus.hpp"

namespace karat::study {
namespace {

using report::short_decimal;
using Cells = std::vector<std::string>;

constexpr double kNothing = 1e-9;  // below: rounding of the truth itself
constexpr double kTooSmallToDraw = 1e-5;

std::string percent(double value) {
  return value < kNothing ? "0 %" : short_decimal(100 * value) + " %";
}
std::string percent(const statistics::Average* i) { return i == nullptr ? "" : percent(i->value); }

std::string percent_interval(const statistics::Average* i) {
  if (i == nullptr) return "";
  if (!std::isfinite(i->high)) return percent(i->value);
  return percent(i->value) + " (" + short_decimal(100 * std::max(0.0, i->low)) + " to " +
         short_decimal(100 * i->high) + ")";
}

std::string factor(const statistics::Average* i) {
  if (i == nullptr) return "";
  const std::string value = short_decimal(i->value);
  if (!std::isfinite(i->high)) return value;
  return value + " (" + short_decimal(i->low) + " to " + short_decimal(i->high) + ")";
}

/// What an amplification over root-sum-square says.
std::string verdict(const RecipeSummary& recipe) {
  const statistics::Average* rss = find(recipe.amplifications, "rss");
  if (rss == nullptr)
    return recipe.name + ": the mask drops nothing here, so there is no interaction.";
  std::string text = recipe.name + ": FP8 and mask together make " +
                     percent(find(recipe.quantities, "both")) + " error, " + factor(rss) +
                     " times the root-sum-square of each alone: ";
  if (rss->low > 1) return text + "they amplify each other.";
  if (rss->high < 1) return text + "less than independent errors would.";
  return text + "no different from independent errors.";
}

report::Bar bar(double x, const statistics::Average& i) {
  return {x, std::isfinite(i.low) ? i.low : i.value, std::isfinite(i.high) ? i.high : i.value};
}

void answer(report::HtmlPage& page, const Summary& summary) {
  Cells lines;
  for (const RecipeSummary& recipe : summary.recipes) lines.push_back(verdict(recipe));
  page.answer(lines);
  page.paragraph(
      "Errors are relative L2 against dense attention in FP64, of sampled rows, averaged over all "
      "cells. Ranges in brackets are 95 % intervals over " +
      std::to_string(summary.prompts) + " prompts and their cells.");
}

void errors(report::HtmlPage& page, const Summary& summary) {
  page.heading("Apart and together");
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    rows.push_back(
        {r.name, percent_interval(find(r.quantities, "both")), percent(find(r.quantities, "mask")),
         percent(find(r.quantities, "fp8")), percent(find(r.quantities, "fp8_given_mask")),
         percent(find(r.quantities, "kept_mass")), percent(find(r.quantities, "guided"))});
  page.table(Cells{"recipe", "both", "mask alone", "FP8 alone", "FP8 given the mask",
                   "attention the mask keeps", "both, through guidance"},
             rows);
  report::Chart chart{.title = "Amplification, geometric mean and 95 % interval",
                      .x = {.title = ""},
                      .y = {.title = "times"},
                      .width = 900,
                      .height = 380};
  const struct {
    const char *name, *words;
  } forms[] = {{"sum", "both over the sum"},
               {"rss", "both over root-sum-square"},
               {"conditional", "FP8 given the mask over FP8 dense"}};
  for (std::size_t f = 0; f < std::size(forms); ++f) {
    report::Series series{.name = forms[f].words,
                          .colour = std::string(report::series_colour(f)),
                          .mark = report::Mark::dots};
    for (std::size_t r = 0; r < summary.recipes.size(); ++r)
      if (const statistics::Average* i = find(summary.recipes[r].amplifications, forms[f].name)) {
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
  for (const RecipeSummary& r : summary.recipes)
    rows.push_back({r.name, factor(find(r.amplifications, "sum")),
                    factor(find(r.amplifications, "rss")),
                    factor(find(r.amplifications, "conditional")),
                    factor(find(r.amplifications, "guided_sum")),
                    factor(find(r.amplifications, "guided_rss"))});
  page.table(Cells{"recipe", "over the sum", "over root-sum-square", "conditional", "guided, sum",
                   "guided, root-sum-square"},
             rows);
}

void ladder_of(report::HtmlPage& page, const RecipeSummary& recipe) {
  report::Chart chart{.title = recipe.name + ": error under the mask, part by part",
                      .x = {.title = ""},
                      .y = {.title = "relative L2", .scale = report::Scale::logarithmic},
                      .width = 900,
                      .height = 380};
  report::Series so_far{.name = "all parts up to this one",
                        .colour = std::string(report::series_colour(0))};
  report::Series alone{.name = "this part alone",
                       .colour = std::string(report::series_colour(1)),
                       .mark = report::Mark::dots};
  report::Series theory{.name = "predicted for the part alone",
                        .colour = std::string(report::series_colour(2)),
                        .mark = report::Mark::dots};
  std::vector<Cells> rows;
  const statistics::Average* mask = find(recipe.quantities, "mask");
  rows.push_back({"mask", "what the mask drops", percent(mask), "", "", ""});
  for (const PartRow& part : parts()) {
    const std::string name(part.name);
    const statistics::Average* rung = find(recipe.quantities, "rung." + name);
    if (rung == nullptr) continue;
    const auto x = static_cast<double>(chart.x.names.size());
    chart.x.names.push_back("+ " + name);
    const statistics::Average *given = find(recipe.quantities, "given." + name),
                              *one = find(recipe.quantities, "alone." + name),
                              *predicted = find(recipe.quantities, "theory." + name);
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

void ladders(report::HtmlPage& page, const Summary& summary) {
  page.heading("The ladder");
  page.paragraph(
      "A recipe is taken apart: dense FP64, then the mask alone, then part after part. The last "
      "rung "
      "is the recipe itself, bit for bit.");
  for (const RecipeSummary& recipe : summary.recipes) ladder_of(page, recipe);
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    for (const auto& [name, words] :
         {std::pair{"score_scale", "scales and d^-1/2 left out of the scores"},
          {"p_times_1", "P times 1 before it is coded"},
          {"e4m3_output", "output written in E4M3"}})
      if (const statistics::Average* i = find(r.quantities, std::string("suspect.") + name))
        rows.push_back({words, r.name, percent(find(r.quantities, "both")), percent_interval(i)});
  if (rows.empty()) return;
  page.paragraph(
      "Suspects: what a literal reading of the published kernel would change, one edit at a "
      "time.");
  page.table(Cells{"edit", "of", "without it", "with it"}, rows);
}

std::int32_t number_of(const StudyResult& result, const std::string& recipe) {
  return static_cast<std::int32_t>(std::ranges::find(result.recipes, recipe) -
                                   result.recipes.begin());
}

void steps(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  page.heading("Over denoising steps");
  std::vector<std::string> charts;
  for (const auto& [quantity, title] : {std::pair{"both", "Error of the recipe"},
                                        {"fp8_given_mask", "FP8's share: error given the mask"}}) {
    report::Chart chart{.title = title,
                        .x = {.title = "step, noisiest first"},
                        .y = {.title = "relative L2", .scale = report::Scale::logarithmic},
                        .width = 520,
                        .height = 340};
    for (std::size_t r = 0; r < summary.recipes.size(); ++r) {
      report::Series series{.name = summary.recipes[r].name,
                            .colour = std::string(report::series_colour(r))};
      for (const StepPoint& point : summary.recipes[r].steps)
        if (const auto i =
                average(result, number_of(result, series.name), quantity, {.step = point.step})) {
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
      const std::int32_t r = number_of(result, recipe.name);
      const auto both = average(result, r, "both", {.head_kind = kind});
      const auto mass = average(result, r, "kept_mass", {.head_kind = kind});
      row.push_back(both ? percent(both->value) + ", keeps " + percent(mass->value) : "");
    }
    rows.push_back(row);
  }
  Cells header{"head"};
  for (const RecipeSummary& recipe : summary.recipes) header.push_back(recipe.name);
  page.table(header, rows);
}

/// "AXIS" of a recipe that a sweep named BASE:AXIS=VALUE; empty for others.
std::string axis_of(const std::string& name) {
  const auto colon = name.rfind(':'), equals = name.rfind('=');
  if (colon == std::string::npos || equals == std::string::npos || equals < colon) return "";
  return name.substr(colon + 1, equals - colon - 1);
}

void sweeps(report::HtmlPage& page, const Summary& summary) {
  std::vector<std::string> axes, charts;
  for (const RecipeSummary& r : summary.recipes)
    if (const std::string axis = axis_of(r.name);
        !axis.empty() && std::ranges::find(axes, axis) == axes.end())
      axes.push_back(axis);
  if (axes.empty()) return;
  std::vector<Cells> rows;
  for (const std::string& axis : axes) {
    report::Chart chart{.title = axis,
                        .x = {.title = ""},
                        .y = {.title = "relative L2", .scale = report::Scale::logarithmic},
                        .width = 520,
                        .height = 300};
    report::Series both{.name = "both", .colour = std::string(report::series_colour(2))},
        fp8{.name = "FP8 given the mask", .colour = std::string(report::series_colour(1))};
    for (const RecipeSummary& r : summary.recipes) {
      if (axis_of(r.name) != axis) continue;
      const statistics::Average *all = find(r.quantities, "both"),
                                *given = find(r.quantities, "fp8_given_mask");
      const auto x = static_cast<double>(chart.x.names.size());
      const std::string value = r.name.substr(r.name.rfind('=') + 1);
      chart.x.names.push_back(value);
      both.points.push_back({x, all->value});
      fp8.points.push_back({x, given->value});
      rows.push_back({axis, value, percent_interval(all), percent(find(r.quantities, "mask")),
                      percent_interval(given), percent(find(r.quantities, "kept_mass"))});
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

void place(report::HtmlPage& page, const StudyResult& result) {
  for (std::int32_t r = 0; r < std::ssize(result.recipes); ++r) {
    std::vector<std::string> charts;
    for (const LocusAxis& axis : locus_axes()) {
      const auto bins = locus(result, r, axis);
      if (bins.empty()) continue;
      report::Chart chart{.title = "By " + std::string(axis.name),
                          .x = {.title = std::string(axis.title)},
                          .y = {.title = "relative L2", .scale = report::Scale::logarithmic},
                          .width = 520,
                          .height = 320};
      report::Series mask{.name = "mask", .colour = std::string(report::series_colour(0))},
          fp8{.name = "FP8 given the mask", .colour = std::string(report::series_colour(1))},
          both{.name = "both", .colour = std::string(report::series_colour(2))};
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

void guidance(report::HtmlPage& page, const StudyResult& result, const Summary& summary) {
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    if (const statistics::Average* guided = find(r.quantities, "guided"))
      rows.push_back({r.name, percent(find(r.quantities, "both")), percent_interval(guided),
                      percent(find(r.quantities, "guided_common")),
                      percent(find(r.quantities, "guided_independent"))});
  if (rows.empty()) return;
  page.heading("Through guidance");
  page.paragraph(
      "Guidance computes u + g*(c - u) with g = " + short_decimal(result.guidance) +
      ". What both branches err alike passes once; what they err differently is multiplied by "
      "g - 1/2.");
  page.table(Cells{"recipe", "one branch", "guided", "common part", "independent part"}, rows);
}

void underflow(report::HtmlPage& page, const Summary& summary) {
  std::vector<Cells> rows;
  for (const RecipeSummary& r : summary.recipes)
    for (const char* multiplier : {"1", "256", "448"}) {
      const std::string name = std::string("theory.lost.") + multiplier;
      if (const statistics::Average* up = find(r.quantities, name + ".ascending"))
        rows.push_back(
            {r.name, multiplier, percent(up), percent(find(r.quantities, name + ".descending"))});
    }
  if (rows.empty()) return;
  page.heading("P that underflows");
  page.paragraph(
      "Share of the kept attention whose E4M3 code is 0, by P's multiplier and the order of the "
      "key blocks: P refers to the largest score seen so far, so the order decides.");
  page.table(Cells{"recipe", "multiplier", "key blocks ascending", "descending"}, rows);
}

}  // namespace

std::string html_page(const StudyResult& result, const Summary& all, const PageFacts& facts) {
  Summary summary{.recipes = {}, .prompts = all.prompts};  // those that no sweep made
  for (const RecipeSummary& recipe : all.recipes)
    if (axis_of(recipe.name).empty()) summary.recipes.push_back(recipe);
  report::HtmlPage page("What FP8 and sparsity cost, apart and together",
                        result.origin + "; " + std::to_string(result.jobs.size()) +
                            " cells of (prompt, step, layer, head)");
  answer(page, summary);
  errors(page, summary);
  ladders(page, summary);
  steps(page, result, summary);
  place(page, result);
  sweeps(page, all);
  guidance(page, result, summary);
  underflow(page, summary);
  page.heading("Limits");
  page.bullets(Cells{
      "Generated workloads demonstrate mechanisms; what they say about a network is what its own "
      "captures confirm.",
      "Errors are of single attention layers. They do not follow an error through layers and "
      "steps.",
      "Intervals cover the choice of prompts, cells and rows, not the choice of the workload's "
      "parameters."});
  page.heading("Made by");
  page.code(facts.command + "\nkarat " + facts.version + "\nstudy " + result.identity.sha256);
  page.begin_fold("What was asked, in full");
  page.code(result.identity.text);
  page.end_fold();
  return page.str();
}

}  // namespace karat::study
