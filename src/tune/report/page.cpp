// The tuner's report.
#include <algorithm>
#include <array>
#include <cmath>

#include "karat/report/chart.hpp"
#include "karat/report/html.hpp"
#include "karat/tune/report.hpp"
#include "report/pictures.hpp"

namespace karat::tune {
namespace {

using report::fixed_decimal;
using report::HtmlPage;
using Rows = std::vector<std::vector<std::string>>;

/// Three significant digits, never in powers of ten.
std::string error_text(double error) {
  const int decimals =
      error > 0 ? std::clamp(2 - static_cast<int>(std::floor(std::log10(error))), 0, 9) : 1;
  return fixed_decimal(error, decimals);
}

std::string ranged(const std::string& value, const std::optional<statistics::Interval>& interval,
                   std::string (*show)(double)) {
  return interval ? value + " [" + show(interval->low) + ", " + show(interval->high) + "]" : value;
}

std::string two_decimals(double value) { return fixed_decimal(value, 2); }

std::string seconds(double value) { return fixed_decimal(value, value < 100 ? 2 : 0); }

std::string error_with_interval(const TunedPoint& point) {
  return ranged(error_text(point.error), point.interval, error_text);
}

/// The comparison at the baseline's point nearest the budget from below.
const Comparison* near_budget(const Tuned& tuned, ScheduleKind baseline, ScheduleKind ours) {
  const Comparison* found = nullptr;
  for (const Comparison& c : tuned.comparisons)
    if (c.baseline == baseline && c.ours == ours && c.time_s <= tuned.budget_s * (1 + 1e-12))
      found = &c;
  return found;
}

/// Of the baselines near the budgets, the one that three phases differ from most.
std::string largest_effect(const Result& result) {
  const Comparison* largest = nullptr;
  std::string gpu;
  double size = 0;
  for (const Tuned& tuned : result.tuned) {
    if (tuned.weights != result.main_weights) continue;
    for (const ScheduleKind baseline :
         {ScheduleKind::uniform, ScheduleKind::dense_warmup, ScheduleKind::sta_search}) {
      const Comparison* c = near_budget(tuned, baseline, ScheduleKind::three_phase);
      if (!c || !(c->error > 0) || !(c->our_error > 0)) continue;
      const double found = std::abs(std::log(c->our_error / c->error));
      if (largest && found <= size) continue;
      largest = c;
      gpu = result.times[tuned.gpu].gpu;
      size = found;
    }
  }
  if (!largest) return "";
  return "Largest effect: on " + gpu + " three phases have " +
         ranged(two_decimals(largest->our_error / largest->error), largest->ratio, two_decimals) +
         " times the error of " + std::string(title_of(largest->baseline)) + " (" + largest->what +
         ") in the same " + seconds(largest->time_s) +
         " s: " + std::string(to_string(largest->verdict)) + ".";
}

std::vector<std::string> answer_lines(const Result& result) {
  std::vector<std::string> lines;
  const std::vector<Decision> decided = decisions(result, ScheduleKind::three_phase);
  for (std::size_t gpu = 0; gpu < result.times.size(); ++gpu) {
    const Tuned& tuned = result.of(gpu, result.main_weights);
    const TunedPoint* three = tuned.front(ScheduleKind::three_phase).within(tuned.budget_s);
    const TunedPoint* steps = tuned.front(ScheduleKind::general_by_step).within(tuned.budget_s);
    const TunedPoint* groups = tuned.front(ScheduleKind::general).within(tuned.budget_s);
    if (!three || !steps || !groups) continue;
    const StepTimes& times = result.times[gpu];
    std::string line = times.gpu + ": " + to_text(decided[gpu], result) + ". Within " +
                       seconds(tuned.budget_s) + " s (" +
                       fixed_decimal(times.dense_s * result.errors.steps / tuned.budget_s, 2) +
                       "x dense BF16), weights " + result.weights[tuned.weights].name() +
                       "; error with its interval " + error_with_interval(*three) + ". ";
    if (const Comparison* c =
            near_budget(tuned, ScheduleKind::dense_warmup, ScheduleKind::three_phase))
      line += "A dense warm-up (" + c->what + ") has " + error_text(c->error) +
              " in the same time: " + std::string(to_string(c->verdict)) + ". ";
    line += "Every step for itself reaches " + error_text(steps->error);
    if (result.errors.groups > 1) line += ", every group for itself " + error_text(groups->error);
    lines.push_back(line + ".");
  }
  if (std::string largest = largest_effect(result); !largest.empty())
    lines.push_back(std::move(largest));
  return lines;
}

void add_alphas(HtmlPage& page, const Result& result) {
  Rows rows;
  for (const Tuned& tuned : result.tuned) {
    const Alphas& a = tuned.alphas;
    rows.push_back({result.times[tuned.gpu].gpu, result.weights[tuned.weights].name(),
                    is_transition(a.phases, 0)
                        ? ranged(two_decimals(a.alpha1), a.alpha1_interval, two_decimals)
                        : "",
                    is_transition(a.phases, 1)
                        ? ranged(two_decimals(a.alpha2), a.alpha2_interval, two_decimals)
                        : "",
                    phases_text(result, a.phases), error_text(std::sqrt(a.phases.error)),
                    a.held_out_error ? error_text(*a.held_out_error) : "",
                    a.same_recipes ? fixed_decimal(100 * *a.same_recipes, 0) + " %" : ""});
  }
  page.heading("Transition points under every weighting");
  page.paragraph(
      "Found over all pairs of steps and all triples of recipes, within the budget. Intervals: the "
      "middle 95 % of optima over resampled seeds. Held out: error on seeds that the choice did "
      "not see. Same: resamples whose best schedule has the same three recipes.");
  const std::array<std::string, 8> header{"GPU",     "weights", "alpha1",   "alpha2",
                                          "recipes", "error",   "held out", "same"};
  page.table(header, rows);
}

void add_comparisons(HtmlPage& page, const Result& result, const Tuned& tuned) {
  Rows rows;
  for (const Comparison& c : tuned.comparisons) {
    if (c.ours == ScheduleKind::general_by_step) continue;
    if (c.ours == ScheduleKind::general &&
        (c.baseline != ScheduleKind::sta_search || result.errors.groups == 1))
      continue;
    rows.push_back(
        {std::string(title_of(c.baseline)), c.what, seconds(c.time_s), error_text(c.error),
         std::string(title_of(c.ours)), error_text(c.our_error),
         c.error > 0 ? ranged(two_decimals(c.our_error / c.error), c.ratio, two_decimals) : "",
         std::string(to_string(c.verdict))});
  }
  page.paragraph(
      "On " + result.times[tuned.gpu].gpu + ", weights " + result.weights[tuned.weights].name() +
      ": at each baseline's own time, our error. Better or worse: the interval of the ratio "
      "over resampled seeds excludes 1.");
  const std::array<std::string, 8> header{"baseline", "schedule", "seconds", "error",
                                          "ours",     "error",    "ratio",   "verdict"};
  page.table(header, rows);
}

void add_phase_counts(HtmlPage& page, const Result& result) {
  Rows rows;
  for (const Tuned& tuned : result.tuned) {
    std::vector<std::string> row{result.times[tuned.gpu].gpu, result.weights[tuned.weights].name()};
    for (const PhaseCount& count : tuned.phase_counts) row.push_back(error_text(count.error));
    const TunedPoint* steps = tuned.front(ScheduleKind::general_by_step).within(tuned.budget_s);
    row.push_back(steps ? error_text(steps->error) : "");
    rows.push_back(std::move(row));
  }
  page.heading("How many phases are worth having");
  page.paragraph(
      "Least error within the budget with at most so many phases; with phases that only go "
      "to slower, or only to faster recipes; with every step free.");
  const std::array<std::string, 10> header{"GPU", "weights",   "1",         "2",         "3", "4",
                                           "5",   "to slower", "to faster", "every step"};
  page.table(header, rows);
}

void add_regrets(HtmlPage& page, const Result& result) {
  if (result.regrets.empty()) return;
  Rows rows;
  for (const Regret& r : result.regrets) {
    if (r.kind == ScheduleKind::general && result.errors.groups == 1) continue;
    rows.push_back({result.weights[r.weights].name(), std::string(title_of(r.kind)),
                    result.times[r.tuned_on].gpu, result.times[r.run_on].gpu, seconds(r.time_s),
                    seconds(r.best_time_s),
                    "+" + fixed_decimal(100 * (r.time_s / r.best_time_s - 1), 1) + " %",
                    error_text(r.error), error_text(r.best_error),
                    "+" + fixed_decimal(100 * (r.worst_time_ratio - 1), 1) + " %"});
  }
  page.heading("One GPU's schedule on another");
  page.paragraph(
      "The schedule that is best on one GPU within its budget, run on another: its time and "
      "error there, what that GPU's own schedules need for the same error or reach in the "
      "same time, and the worst loss of time along the whole front.");
  const std::array<std::string, 10> header{"weights",     "kind",      "tuned on", "run on",
                                           "seconds",     "own needs", "loss",     "error",
                                           "own reaches", "worst loss"};
  page.table(header, rows);
}

void add_times(HtmlPage& page, const Result& result) {
  std::vector<std::string> header{"recipe"};
  for (const StepTimes& times : result.times) {
    header.push_back(times.gpu + ": s a step");
    header.push_back("s a run");
    header.push_back("dense BF16 / it");
  }
  Rows rows;
  for (std::size_t c = 0; c < result.recipes.size(); ++c) {
    std::vector<std::string> row{result.recipes[c].name};
    for (const StepTimes& times : result.times) {
      const double step = times.fixed_s + times.decided_s[c];
      row.push_back(fixed_decimal(step, 2));
      row.push_back(seconds(step * result.errors.steps));
      row.push_back(fixed_decimal(times.dense_s / step, 2));
    }
    rows.push_back(std::move(row));
  }
  page.heading("Times");
  page.paragraph(
      "As karat cost answers them: attention, what surrounds it, linear layers, the rest; "
      "VAE and text encoder are not included.");
  page.table(header, rows);
}

}  // namespace

std::string_view title_of(ScheduleKind kind) {
  constexpr std::array<std::string_view, 6> kTitles{
      "three phases",          "every group for itself", "every step for itself",
      "one recipe throughout", "dense warm-up",          "STA's search"};
  return kTitles[static_cast<std::size_t>(kind)];
}

std::string phases_text(const Result& result, const ThreePhases& phases) {
  std::string text = result.recipes[phases.recipe[0]].name;
  for (const int behind : {0, 1})
    if (is_transition(phases, behind))
      text += " | " + result.recipes[phases.recipe[behind + 1]].name;
  return text;
}

std::string html_page(const Result& result, const Request& request,
                      const report::Provenance& made_by) {
  const StepErrors& e = result.errors;
  HtmlPage page("Which recipe in which step: " + std::string(request.model->name),
                video::to_string(request.run.grid) + " tokens, " + std::to_string(e.steps) +
                    " steps of " + std::to_string(request.run.forwards_per_step) +
                    " forwards; errors of " + request.source + ": " +
                    std::to_string(e.measured.size()) + " of " + std::to_string(e.study_steps) +
                    " steps, " + std::to_string(e.groups) + " groups, " + std::to_string(e.seeds) +
                    (e.seeds == 1 ? " seed" : " seeds"));
  page.answer(answer_lines(result));
  page.bullets(result.notes);
  page.heading("Schedules within the budget");
  for (std::size_t gpu = 0; gpu < result.times.size(); ++gpu)
    page.figure(
        schedule_strips(result, gpu),
        gpu + 1 < result.times.size()
            ? ""
            : "A column per denoising step. Where every group decides for itself, a column's "
              "colours are shares of the heads.");
  page.heading("Error against time");
  std::vector<std::string> charts, others;
  for (const Tuned& tuned : result.tuned)
    (tuned.weights == result.main_weights ? charts : others).push_back(front_chart(result, tuned));
  page.figures(charts,
               "Staircases: the best within that time. Band and whiskers: 95 % over seeds.");
  page.begin_fold("The same under the other weightings");
  page.figures(others, "");
  page.end_fold();
  add_alphas(page, result);
  page.heading("At equal time");
  add_comparisons(page, result, result.main());
  page.begin_fold("Other GPUs and weightings");
  for (const Tuned& tuned : result.tuned)
    if (&tuned != &result.main()) add_comparisons(page, result, tuned);
  page.end_fold();
  add_phase_counts(page, result);
  add_regrets(page, result);
  page.heading("What the study measured, and what a step counts");
  const std::vector<std::string> inputs{sensitivity_chart(result), weight_chart(result)};
  page.figures(inputs, "Error counts as the square root of the weighted mean of squares.");
  add_times(page, result);
  page.heading("How to make this page again");
  page.code(made_by.command);
  page.paragraph("karat " + made_by.version + ". Origin of the errors: " + request.table.origin);
  return page.str();
}

}  // namespace karat::tune
