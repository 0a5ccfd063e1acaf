// A tuning in lines of text.
#include "karat/report/text.hpp"

#include <cmath>

#include "karat/tune/report.hpp"
#include "report/pictures.hpp"

namespace karat::tune {
namespace {

using report::print;

std::string interval_text(const std::optional<statistics::Interval>& interval) {
  return interval ? print(" [%.4f, %.4f]", interval->low, interval->high) : "";
}

/// The drift that measured weights expect of an error.
std::string drift_text(const StepWeights& weights, double error) {
  return weights.drift_scale > 0 ? print("   drift %.4g", error * std::sqrt(weights.drift_scale))
                                 : "";
}

/// The best of every kind within the budget.
std::string chosen_text(const Result& result, const Tuned& tuned) {
  std::string text;
  for (const TunedFront& front : tuned.fronts) {
    const TunedPoint* point = front.within(tuned.budget_s);
    if (!point) continue;
    if (front.kind == ScheduleKind::general && result.errors.groups == 1) continue;
    text +=
        print("  %-23s %8.1f s   error %.4f%s%s   %s\n", std::string(title_of(front.kind)).c_str(),
              point->time_s, point->error, interval_text(point->interval).c_str(),
              drift_text(result.weights[tuned.weights], point->error).c_str(), point->what.c_str());
  }
  return text;
}

std::string alphas_text(const Result& result) {
  std::string text = print("%-6s %-12s %-22s %-22s %-10s %-9s %s\n", "GPU", "weights", "alpha1",
                           "alpha2", "error", "held out", "recipes");
  for (const Tuned& tuned : result.tuned) {
    const Alphas& a = tuned.alphas;
    const auto ranged = [](double value, const std::optional<statistics::Interval>& interval) {
      return interval ? print("%.2f [%.2f, %.2f]", value, interval->low, interval->high)
                      : print("%.2f", value);
    };
    text += print("%-6s %-12s %-22s %-22s %-10.4f %-9s %s\n", result.times[tuned.gpu].gpu.c_str(),
                  result.weights[tuned.weights].name().c_str(),
                  ranged(a.alpha1, a.alpha1_interval).c_str(),
                  ranged(a.alpha2, a.alpha2_interval).c_str(), std::sqrt(a.phases.error),
                  a.held_out_error ? print("%.4f", *a.held_out_error).c_str() : "-",
                  phases_text(result, a.phases).c_str());
  }
  return text;
}

std::string comparisons_text(const Result& result, const Tuned& tuned) {
  std::string text;
  for (const Comparison& c : tuned.comparisons) {
    if (c.ours != ScheduleKind::three_phase &&
        !(c.ours == ScheduleKind::general && c.baseline == ScheduleKind::sta_search))
      continue;
    if (c.ours == ScheduleKind::general && result.errors.groups == 1) continue;
    const std::string ratio =
        c.error > 0 ? print("x %.3f", c.our_error / c.error) +
                          (c.ratio ? print(" [%.3f, %.3f]", c.ratio->low, c.ratio->high) : "")
                    : "";
    text += print("  %-22s %8.1f s   error %.4f -> %.4f %-22s %-10s %s\n",
                  std::string(title_of(c.baseline)).c_str(), c.time_s, c.error, c.our_error,
                  ratio.c_str(), std::string(to_string(c.verdict)).c_str(), c.what.c_str());
  }
  return text;
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

std::string to_text(const Result& result, const Request& request) {
  const StepErrors& e = result.errors;
  const Tuned& main = result.main();
  std::string text = print(
      "%s at %s tokens, %d steps x %d forwards; %zu recipes; errors of %s (%d of %d steps, %d "
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
    text += chosen_text(result, tuned);
    text += "  by phases               " + phase_counts_text(tuned) + "\n";
  }
  text += "\nThree phases within the budget, under every weighting\n" + alphas_text(result);
  text += print(
      "\nAt equal time on %s, weights %s: baseline -> three phases (STA's search: -> every "
      "group for itself too)\n",
      result.times[main.gpu].gpu.c_str(), result.weights[main.weights].name().c_str());
  text += comparisons_text(result, main);
  if (!result.regrets.empty())
    text += "\nOne GPU's three-phase schedule on another\n" + regrets_text(result);
  text += "\n";
  for (const std::string& note : result.notes) text += note + "\n";
  return text;
}

}  // namespace karat::tune
