// JSON and CSV of a tuning.
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/report/text.hpp"
#include "karat/tune/report.hpp"
#include "report/pictures.hpp"

namespace karat::tune {
namespace {

using files::Json;
using report::print;

/// Kinds whose points the answer lists.
constexpr ScheduleKind kReportedKinds[] = {ScheduleKind::three_phase, ScheduleKind::general,
                                           ScheduleKind::uniform, ScheduleKind::dense_warmup,
                                           ScheduleKind::sta_search};

Json interval_json(const std::optional<statistics::Interval>& interval) {
  return interval ? Json{interval->low, interval->high} : Json(nullptr);
}

Json phases_json(const Result& result, const ThreePhases& p) {
  const double steps = result.errors.steps;
  return {{"alpha1", p.first / steps},
          {"alpha2", p.second / steps},
          {"recipes",
           {result.recipes[p.recipe[0]].name, result.recipes[p.recipe[1]].name,
            result.recipes[p.recipe[2]].name}}};
}

Json point_json(const Result& result, const Tuned& tuned, ScheduleKind kind,
                const TunedPoint& point) {
  Json json{{"kind", to_string(kind)},
            {"time_s", point.time_s},
            {"error", point.error},
            {"interval", interval_json(point.interval)}};
  if (const double scale = result.weights[tuned.weights].drift_scale; scale > 0)
    json["drift"] = point.error * std::sqrt(scale);
  if (point.phases) {
    json.update(phases_json(result, *point.phases));
  } else {
    json["what"] = point.what;
  }
  return json;
}

Json front_json(const Result& result, const Tuned& tuned, const TunedFront& front) {
  Json json = Json::array();
  for (const TunedPoint& point : front.points)
    json.push_back(point_json(result, tuned, front.kind, point));
  return json;
}

Json pareto_json(const Result& result, const Tuned& tuned) {
  Json json = Json::array();
  for (const ScheduleKind kind : kReportedKinds)
    for (const Json& point : front_json(result, tuned, tuned.front(kind))) json.push_back(point);
  return json;
}

Json comparison_json(const Comparison& c) {
  return {{"baseline", to_string(c.baseline)},
          {"what", c.what},
          {"time_s", c.time_s},
          {"error", c.error},
          {"ours", to_string(c.ours)},
          {"our_time_s", c.our_time_s},
          {"our_error", c.our_error},
          {"error_ratio_interval", interval_json(c.ratio)},
          {"verdict", to_string(c.verdict)}};
}

Json tuned_json(const Result& result, const Tuned& tuned) {
  const Alphas& a = tuned.alphas;
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
    json["exact"][std::string(to_string(front.kind))] = front.exact;
    if (const TunedPoint* point = front.within(tuned.budget_s))
      json["within_budget"].push_back(point_json(result, tuned, front.kind, *point));
  }
  json["pareto"] = pareto_json(result, tuned);
  json["pareto_by_step"] = front_json(result, tuned, tuned.front(ScheduleKind::general_by_step));
  json["comparisons"] = Json::array();
  for (const Comparison& c : tuned.comparisons) json["comparisons"].push_back(comparison_json(c));
  json["phase_counts"] = Json::array();
  for (const PhaseCount& count : tuned.phase_counts)
    json["phase_counts"].push_back(
        {{"phases", count.phases}, {"order", to_string(count.order)}, {"error", count.error}});
  return json;
}

Json times_json(const Result& result, const StepTimes& times) {
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

Json regret_json(const Result& result, const Regret& r) {
  return {{"weights", result.weights[r.weights].name()},
          {"kind", to_string(r.kind)},
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

/// A transition point, nothing between equal recipes.
std::string alpha_text(const std::optional<ThreePhases>& phases, int behind, double steps) {
  if (!phases || !is_transition(*phases, behind)) return "";
  return print("%.6g", (behind == 0 ? phases->first : phases->second) / steps);
}

}  // namespace

Json to_json(const Result& result, const Request& request, const Json& schedule) {
  const StepErrors& e = result.errors;
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
                   {"groups", e.group_names},  {"per", to_string(result.decide)},
                   {"seeds", e.seeds}};
  json["sigma"] = result.sigma;
  json["weightings"] = Json::array();
  for (const StepWeights& w : result.weights)
    json["weightings"].push_back(
        {{"name", w.name()},
         {"about", w.about},
         {"weight", w.weight},
         {"layer_share", w.layer_share},
         {"drift_scale", w.drift_scale > 0 ? Json(w.drift_scale) : Json()}});
  json["times"] = Json::array();
  for (const StepTimes& times : result.times) json["times"].push_back(times_json(result, times));
  json["tuned"] = Json::array();
  for (const Tuned& tuned : result.tuned) json["tuned"].push_back(tuned_json(result, tuned));
  json["regret"] = Json::array();
  for (const Regret& r : result.regrets) json["regret"].push_back(regret_json(result, r));
  json["notes"] = result.notes;
  return json;
}

std::string to_csv(const Result& result) {
  std::string text = "gpu,weights,kind,time_s,error,low,high,alpha1,alpha2,what\n";
  const double steps = result.errors.steps;
  for (const Tuned& tuned : result.tuned)
    for (const TunedFront& front : tuned.fronts)
      for (const TunedPoint& point : front.points) {
        const auto& interval = point.interval;
        text +=
            print("%s,%s,%s,%.9g,%.9g,%s,%s,%s,%s,\"%s\"\n", result.times[tuned.gpu].gpu.c_str(),
                  result.weights[tuned.weights].name().c_str(),
                  std::string(to_string(front.kind)).c_str(), point.time_s, point.error,
                  interval ? print("%.9g", interval->low).c_str() : "",
                  interval ? print("%.9g", interval->high).c_str() : "",
                  alpha_text(point.phases, 0, steps).c_str(),
                  alpha_text(point.phases, 1, steps).c_str(), point.what.c_str());
      }
  return text;
}

}  // namespace karat::tune
