// A tuning in lines of text.
#include "karat/report/text.hpp"

#include <cmath>

#include "karat/tune/report.hpp"
#include "report/pictures.hpp"

namespace karat::tune {
namespace {

using report::Align;
using report::print;

std::string interval_text(const std::optional<statistics::Interval>& interval) {
  return interval ? print(" [%.4f, %.4f]", interval->low, interval->high) : "";
}

/// The best of every kind within the budget.
report::Table chosen_table(const Result& result, const Tuned& tuned) {
  const double drift = result.weights[tuned.weights].drift_scale;
  report::Table table{.columns = {{"schedule"}, {"time", Align::right}, {"error"}}, .rows = {}};
  if (drift > 0) table.columns.push_back({"drift"});
  table.columns.push_back({"what"});
  for (const TunedFront& front : tuned.fronts) {
    const TunedPoint* point = front.within(tuned.budget_s);
    if (!point) continue;
    if (front.kind == ScheduleKind::general && result.errors.groups == 1) continue;
    std::vector<std::string> row{
        std::string(title_of(front.kind)), print("%.1f s", point->time_s),
        print("error %.4f", point->error) + interval_text(point->interval)};
    if (drift > 0) row.push_back(print("drift %.4g", point->error * std::sqrt(drift)));
    row.push_back(point->what);
    table.rows.push_back(std::move(row));
  }
  return table;
}

report::Table alphas_table(const Result& result) {
  report::Table table{
      .columns =
          {{"GPU"}, {"weights"}, {"alpha1"}, {"alpha2"}, {"error"}, {"held out"}, {"recipes"}},
      .rows = {}};
  for (const Tuned& tuned : result.tuned) {
    const Alphas& a = tuned.alphas;
    const auto ranged = [&](int behind, double value,
                            const std::optional<statistics::Interval>& interval) {
      if (!is_transition(a.phases, behind)) return std::string("-");
      return interval ? print("%.2f [%.2f, %.2f]", value, interval->low, interval->high)
                      : print("%.2f", value);
    };
    table.rows.push_back(
        {result.times[tuned.gpu].gpu, result.weights[tuned.weights].name(),
         ranged(0, a.alpha1, a.alpha1_interval), ranged(1, a.alpha2, a.alpha2_interval),
         print("%.4f", std::sqrt(a.phases.error)),
         a.held_out_error ? print("%.4f", *a.held_out_error) : "-", phases_text(result, a.phases)});
  }
  return table;
}

report::Table comparisons_table(const Result& result, const Tuned& tuned) {
  report::Table table{.columns = {{"baseline"},
                                  {"time", Align::right},
                                  {"its error -> ours"},
                                  {"ratio"},
                                  {"verdict"},
                                  {"what"}},
                      .rows = {}};
  for (const Comparison& c : tuned.comparisons) {
    if (c.ours != ScheduleKind::three_phase &&
        !(c.ours == ScheduleKind::general && c.baseline == ScheduleKind::sta_search))
      continue;
    if (c.ours == ScheduleKind::general && result.errors.groups == 1) continue;
    const std::string ratio =
        c.error > 0 ? print("x %.3f", c.our_error / c.error) +
                          (c.ratio ? print(" [%.3f, %.3f]", c.ratio->low, c.ratio->high) : "")
                    : "";
    table.rows.push_back({std::string(title_of(c.baseline)), print("%.1f s", c.time_s),
                          print("error %.4f -> %.4f", c.error, c.our_error), ratio,
                          std::string(to_string(c.verdict)), c.what});
  }
  return table;
}

std::string regrets_text(const Result& result) {
  std::string text;
  for (const Regret& r : result.regrets) {
    if (r.weights != result.main_weights || r.kind != ScheduleKind::three_phase) continue;
    text += print(
        "  tuned on %s, run on %s: %.1f s where %.1f s give the same error (%+.1f %%); at "
        "its time the best has error %.4f against %.4f; worst along the front %+.1f %%\n",
        result.times[r.tuned_on].gpu.c_str(), result.times[r.run_on].gpu.c_str(), r.time_s,
        r.best_time_s, 100 * (r.time_s / r.best_time_s - 1), r.best_error, r.error,
        100 * (r.worst_time_ratio - 1));
  }
  return text;
}

std::string phase_counts_text(const Tuned& tuned) {
  std::string text;
  for (const PhaseCount& count : tuned.phase_counts) {
    if (!text.empty()) text += ", ";
    text += count.order == PhaseOrder::any      ? print("%d: %.4f", count.phases, count.error)
            : count.order == PhaseOrder::slower ? print("only to slower recipes: %.4f", count.error)
                                                : print("only to faster ones: %.4f", count.error);
  }
  return text;
}

}  // namespace

std::string to_text(const Result& result, const Request& request,
                    std::span<const Decision> decisions, report::TableStyle style) {
  const StepErrors& e = result.errors;
  const Tuned& main = result.main();
  std::string text;
  for (const Decision& each : decisions) text += each.gpu + ": " + to_text(each, result) + "\n";
  text += print(
      "\n%s at %s tokens, %d steps x %d forwards; %zu recipes; errors of %s (%d of %d steps, %d "
      "groups, %d seed%s)\n",
      std::string(request.model->name).c_str(), video::to_string(request.run.grid).c_str(), e.steps,
      request.run.forwards_per_step, result.candidates, request.source.c_str(),
      static_cast<int>(e.measured.size()), e.study_steps, e.groups, e.seeds,
      e.seeds == 1 ? "" : "s");
  text +=
      "error = square root of the weighted mean of squared relative errors of attention's "
      "output\n";
  for (std::size_t gpu = 0; gpu < result.times.size(); ++gpu) {
    const Tuned& tuned = result.of(gpu, result.main_weights);
    const StepTimes& times = result.times[gpu];
    text += print("\n%s, weights %s, within %.1f s (%.2fx dense BF16)\n", times.gpu.c_str(),
                  result.weights[tuned.weights].name().c_str(), tuned.budget_s,
                  times.dense_s * e.steps / tuned.budget_s);
    text += report::to_text(chosen_table(result, tuned), style);
    text += "error by the number of phases: " + phase_counts_text(tuned) + "\n";
  }
  text += "\nThree phases within the budget, under every weighting\n" +
          report::to_text(alphas_table(result), style);
  text += print(
      "\nAt equal time on %s, weights %s: baseline -> three phases (STA's search: -> every "
      "group for itself too)\n",
      result.times[main.gpu].gpu.c_str(), result.weights[main.weights].name().c_str());
  text += report::to_text(comparisons_table(result, main), style);
  if (!result.regrets.empty())
    text += "\nOne GPU's three-phase schedule on another\n" + regrets_text(result);
  text += "\n";
  for (const std::string& note : result.notes) text += note + "\n";
  return text;
}

}  // namespace karat::tune
