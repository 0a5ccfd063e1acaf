// Text, JSON and CSV of a tuning.
#include "tune/report.hpp"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/page.hpp"
#include "karat/tune/schedule.hpp"

namespace karat::cli {
namespace {

using files::Json;
using statistics::Interval;
using tune::Request;
using tune::Result;
using tune::ScheduleKind;
using tune::Tuned;
using tune::TunedFront;
using tune::TunedPoint;

constexpr ScheduleKind kIssueKinds[] = {ScheduleKind::three_phase, ScheduleKind::general,
                                        ScheduleKind::uniform, ScheduleKind::dense_warmup,
                                        ScheduleKind::sta_search};

template <typename... Values>
std::string print(const char* format, Values... values) {
  const int size = std::snprintf(nullptr, 0, format, values...);
  std::string text(static_cast<std::size_t>(size), '\0');
  std::snprintf(text.data(), text.size() + 1, format, values...);
  return text;
}

std::string interval_text(const std::optional<Interval>& interval) {
  return interval ? print(" [%.4f, %.4f]", interval->low, interval->high) : "";
}

/// The best of every kind within the budget.
std::string chosen_text(const Result& result, const Tuned& tuned) {
  std::string text;
  for (const TunedFront& front : tuned.fronts) {
    const TunedPoint* point = front.within(tuned.budget_s);
    if (!point) continue;
    if (front.kind == ScheduleKind::general && result.errors.groups == 1) continue;
    text += print("  %-23s %8.1f s   error %.4f%s   %s\n",
                  std::string(title_of(front.kind)).c_str(), point->time_s, point->error,
                  interval_text(point->interval).c_str(), point->what.c_str());
  }
  return text;
}

std::string alphas_text(const Result& result) {
  std::string text = print("%-6s %-12s %-22s %-22s %-10s %-9s %s\n", "GPU", "weights", "alpha1",
                           "alpha2", "error", "held out", "recipes");
  for (const Tuned& tuned : result.tuned) {
    const tune::Alphas& a = tuned.alphas;
    const auto ranged = [](double value, const std::optional<Interval>& interval) {
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
  for (const tune::Comparison& c : tuned.comparisons) {
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
  for (const tune::Regret& r : result.regrets) {
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
  for (const tune::PhaseCount& count : tuned.phase_counts) {
    if (!text.empty()) text += ", ";
    text += count.order == tune::PhaseOrder::any ? print("%d: %.4f", count.phases, count.error)
            : count.order == tune::PhaseOrder::slower
                ? print("only to slower recipes: %.4f", count.error)
                : print("only to faster ones: %.4f", count.error);
  }
  return text;
}

Json interval_json(const std::optional<Interval>& interval) {
  return interval ? Json{interval->low, interval->high} : Json(nullptr);
}

Json phases_json(const Result& result, const tune::ThreePhases& p) {
  const double steps = result.errors.steps;
  return {{"alpha1", p.first / steps},
          {"alpha2", p.second / steps},
          {"recipes",
           {result.recipes[p.recipe[0]].name, result.recipes[p.recipe[1]].name,
            result.recipes[p.recipe[2]].name}}};
}

Json point_json(const Result& result, ScheduleKind kind, const TunedPoint& point) {
  Json json{{"kind", tune::to_string(kind)},
            {"time_s", point.time_s},
            {"error", point.error},
            {"interval", interval_json(point.interval)}};
  if (point.phases) {
    json.update(phases_json(result, *point.phases));
  } else {
    json["what"] = point.what;
  }
  return json;
}

Json front_json(const Result& result, const TunedFront& front) {
  Json json = Json::array();
  for (const TunedPoint& point : front.points)
    json.push_back(point_json(result, front.kind, point));
  return json;
}

Json pareto_json(const Result& result, const Tuned& tuned) {
  Json json = Json::array();
  for (const ScheduleKind kind : kIssueKinds)
    for (const Json& point : front_json(result, tuned.front(kind))) json.push_back(point);
  return json;
}

Json comparison_json(const tune::Comparison& c) {
  return {{"baseline", tune::to_string(c.baseline)},
          {"what", c.what},
          {"time_s", c.time_s},
          {"error", c.error},
          {"ours", tune::to_string(c.ours)},
          {"our_time_s", c.our_time_s},
          {"our_error", c.our_error},
          {"error_ratio_interval", interval_json(c.ratio)},
          {"verdict", to_string(c.verdict)}};
}

Json tuned_json(const Result& result, const Tuned& tuned) {
  const tune::Alphas& a = tuned.alphas;
  Json json{{"gpu", result.times[tuned.gpu].gpu},
            {"weights", result.weights[tuned.weights].name()},
            {"budget_s", tuned.budget_s}};
  json.update(phases_json(result, a.phases));
  json["alpha1_interval"] = interval_json(a.alpha1_interval);
  json["alpha2_interval"] = interval_json(a.alpha2_interval);
  json["same_recipes"] = a.same_recipes ? Json(*a.same_recipes) : Json(nullptr);
  json["error"] = std::sqrt(a.phases.error);
  json["held_out_error"] = a.held_out_error ? Json(*a.held_out_error) : Json(nullptr);
  json["within_budget"] = Json::array();
  json["exact"] = Json::object();
  for (const TunedFront& front : tuned.fronts) {
    json["exact"][std::string(tune::to_string(front.kind))] = front.exact;
    if (const TunedPoint* point = front.within(tuned.budget_s))
      json["within_budget"].push_back(point_json(result, front.kind, *point));
  }
  json["pareto"] = pareto_json(result, tuned);
  json["pareto_by_step"] = front_json(result, tuned.front(ScheduleKind::general_by_step));
  json["comparisons"] = Json::array();
  for (const tune::Comparison& c : tuned.comparisons)
    json["comparisons"].push_back(comparison_json(c));
  json["phase_counts"] = Json::array();
  for (const tune::PhaseCount& count : tuned.phase_counts)
    json["phase_counts"].push_back(
        {{"phases", count.phases}, {"order", to_string(count.order)}, {"error", count.error}});
  return json;
}

Json times_json(const Result& result, const tune::StepTimes& times) {
  Json json{{"gpu", times.gpu},
            {"fixed_step_s", times.fixed_s},
            {"dense_run_s", times.dense_s * result.errors.steps},
            {"recipes", Json::array()}};
  for (std::size_t c = 0; c < result.recipes.size(); ++c)
    json["recipes"].push_back(
        {{"recipe", result.recipes[c].name},
         {"step_s", times.fixed_s + times.decided_s[c]},
         {"run_s", (times.fixed_s + times.decided_s[c]) * result.errors.steps}});
  return json;
}

Json regret_json(const Result& result, const tune::Regret& r) {
  return {{"weights", result.weights[r.weights].name()},
          {"kind", tune::to_string(r.kind)},
          {"tuned_on", result.times[r.tuned_on].gpu},
          {"run_on", result.times[r.run_on].gpu},
          {"time_s", r.time_s},
          {"error", r.error},
          {"best_error", r.best_error},
          {"best_time_s", r.best_time_s},
          {"time_regret", r.time_s / r.best_time_s - 1},
          {"error_regret", r.best_error > 0 ? r.error / r.best_error - 1 : 0.0},
          {"worst_time_regret", r.worst_time_ratio - 1}};
}

}  // namespace

Json chosen_schedule(const Result& result, ScheduleKind kind) {
  const Tuned& main = result.main();
  const TunedPoint* point = main.front(kind).within(main.budget_s);
  if (!point)
    throw Error(ErrorKind::internal, "schedule", "no point of the front meets the budget", {});
  const auto groups = static_cast<std::size_t>(result.errors.groups);
  tune::Assignment steps;
  for (std::size_t i = 0; i < point->assignment.size(); i += groups)
    steps.push_back(point->assignment[i]);
  return tune::schedule_json(
      result, steps, std::string(tune::to_string(kind)) + " for " + result.times[main.gpu].gpu);
}

std::string tune_text(const Result& result, const Request& request) {
  const tune::StepErrors& e = result.errors;
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
    const tune::StepTimes& times = result.times[gpu];
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

Json tune_json(const Result& result, const Request& request, const Json& schedule) {
  const tune::StepErrors& e = result.errors;
  const Tuned& main = result.main();
  const auto list = [](video::Extent3 x) { return Json{x.t, x.h, x.w}; };
  Json json{{"gpu", result.times[main.gpu].gpu},
            {"weights", result.weights[main.weights].name()},
            {"alpha1", main.alphas.alpha1},
            {"alpha2", main.alphas.alpha2},
            {"pareto", pareto_json(result, main)},
            {"budget_s", main.budget_s},
            {"schedule", schedule},
            {"model", request.model->name},
            {"grid", list(request.run.grid)},
            {"steps", e.steps},
            {"forwards_per_step", request.run.forwards_per_step}};
  json["candidates"] = Json::array();
  for (std::size_t c = 0; c < result.candidates; ++c)
    json["candidates"].push_back(result.recipes[c].name);
  json["study"] = {{"source", request.source}, {"origin", request.table.origin},
                   {"steps", e.study_steps},   {"measured_steps", e.measured},
                   {"groups", e.group_names},  {"per", tune::to_string(result.decide)},
                   {"seeds", e.seeds}};
  json["sigma"] = result.sigma;
  json["weightings"] = Json::array();
  for (const tune::StepWeights& w : result.weights)
    json["weightings"].push_back({{"name", w.name()}, {"about", w.about}, {"weight", w.weight}});
  json["times"] = Json::array();
  for (const tune::StepTimes& times : result.times)
    json["times"].push_back(times_json(result, times));
  json["tuned"] = Json::array();
  for (const Tuned& tuned : result.tuned) json["tuned"].push_back(tuned_json(result, tuned));
  json["regret"] = Json::array();
  for (const tune::Regret& r : result.regrets) json["regret"].push_back(regret_json(result, r));
  json["notes"] = result.notes;
  return json;
}

std::string tune_csv(const Result& result) {
  std::string text = "gpu,weights,kind,time_s,error,low,high,alpha1,alpha2,what\n";
  const double steps = result.errors.steps;
  for (const Tuned& tuned : result.tuned)
    for (const TunedFront& front : tuned.fronts)
      for (const TunedPoint& point : front.points) {
        const auto& interval = point.interval;
        text +=
            print("%s,%s,%s,%.9g,%.9g,%s,%s,%s,%s,\"%s\"\n", result.times[tuned.gpu].gpu.c_str(),
                  result.weights[tuned.weights].name().c_str(),
                  std::string(tune::to_string(front.kind)).c_str(), point.time_s, point.error,
                  interval ? print("%.9g", interval->low).c_str() : "",
                  interval ? print("%.9g", interval->high).c_str() : "",
                  point.phases ? print("%.6g", point.phases->first / steps).c_str() : "",
                  point.phases ? print("%.6g", point.phases->second / steps).c_str() : "",
                  point.what.c_str());
      }
  return text;
}

}  // namespace karat::cli
