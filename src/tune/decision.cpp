// A decision in words and as JSON.
#include "karat/tune/decision.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/error.hpp"
#include "karat/report/text.hpp"
#include "karat/tune/report.hpp"

namespace karat::tune {
namespace {

using report::print;

/// Steps in a row with one recipe, counted from 1.
struct Stretch {
  std::size_t first, last;
  std::uint16_t recipe;
};

std::vector<Stretch> stretches_of(const Assignment& steps) {
  std::vector<Stretch> out;
  for (std::size_t step = 0; step < steps.size(); ++step) {
    if (step == 0 || steps[step] != steps[step - 1]) out.push_back({step + 1, 0, steps[step]});
    out.back().last = step + 1;
  }
  return out;
}

std::string steps_text(const std::vector<Stretch>& stretches, const Result& result) {
  const auto name = [&](const Stretch& stretch) { return result.recipes[stretch.recipe].name; };
  if (stretches.size() == 1)
    return print("all %zu steps ", stretches.front().last) + name(stretches.front());
  std::string text;
  for (const Stretch& stretch : stretches) {
    text += text.empty() ? "steps " : ", ";
    text += stretch.first == stretch.last ? print("%zu ", stretch.first)
                                          : print("%zu to %zu ", stretch.first, stretch.last);
    text += name(stretch);
  }
  return text;
}

std::optional<double> warm_up_error(const Tuned& tuned) {
  const TunedPoint* point = tuned.front(ScheduleKind::dense_warmup).within(tuned.budget_s);
  if (point == nullptr) return std::nullopt;
  return point->error;
}

}  // namespace

std::vector<Decision> decisions(const Result& result, ScheduleKind kind) {
  std::vector<Decision> out;
  for (std::size_t gpu = 0; gpu < result.times.size(); ++gpu) {
    const Tuned& tuned = result.of(gpu, result.main_weights);
    const TunedPoint& point = chosen_point(tuned, kind);
    out.push_back({.gpu = result.times[gpu].gpu,
                   .steps = whole_steps(result, point),
                   .time_s = point.time_s,
                   .error = point.error,
                   .warm_up_error = warm_up_error(tuned)});
  }
  return out;
}

Decision decision(const Result& result, const recipe::Schedule& schedule) {
  const Tuned& main = result.main();
  const StepTimes& times = result.times[main.gpu];
  const StepWeights& weights = result.weights[main.weights];
  Decision out{.gpu = times.gpu, .warm_up_error = warm_up_error(main)};
  for (const recipe::Recipe* recipe :
       recipe::recipes_of(schedule, result.errors.steps, result.sigma)) {
    const auto found = std::ranges::find(result.recipes, recipe->name, &recipe::Recipe::name);
    if (found == result.recipes.end())
      throw Error(ErrorKind::internal, "schedule", "has a recipe that was not measured", {});
    out.steps.push_back(static_cast<std::uint16_t>(found - result.recipes.begin()));
  }
  const Problem problem = make_problem(result.errors_under(weights), times, weights);
  const Totals totals = evaluate(problem, over_groups(out.steps, problem.groups));
  out.time_s = times.fixed_s * problem.steps + totals.time;
  out.error = std::sqrt(totals.error);
  return out;
}

std::string to_text(const Decision& decision, const Result& result) {
  std::string text =
      steps_text(stretches_of(decision.steps), result) +
      print(": %.*f s, error %.3g", decision.time_s < 100 ? 1 : 0, decision.time_s, decision.error);
  if (decision.warm_up_error) text += print("; a dense warm-up: %.3g", *decision.warm_up_error);
  return text;
}

files::Json to_json(const Decision& decision, const Result& result) {
  files::Json json{{"text", to_text(decision, result)},
                   {"gpu", decision.gpu},
                   {"steps", files::Json::array()},
                   {"time_s", decision.time_s},
                   {"error", decision.error},
                   {"dense_warm_up_error",
                    decision.warm_up_error ? files::Json(*decision.warm_up_error) : files::Json()}};
  for (const Stretch& stretch : stretches_of(decision.steps))
    json["steps"].push_back({{"first", stretch.first},
                             {"last", stretch.last},
                             {"recipe", result.recipes[stretch.recipe].name}});
  return json;
}

}  // namespace karat::tune
