// Schedules as the files that karat make and karat cost take.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/error.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/tune/report.hpp"

namespace karat::tune {
namespace {

/// A short decimal u with: steps t = 1..end are those with t <= u * steps. end / steps itself where
/// six digits hold it, else rounded up, which stays below (end + 1) / steps for fewer than 10^6
/// steps.
double until(std::size_t end, std::size_t steps) {
  constexpr double kUnit = 1e6;
  return std::ceil(static_cast<double>(end) * kUnit / static_cast<double>(steps)) / kUnit;
}

}  // namespace

files::Json schedule_json(const Result& result, std::span<const std::uint16_t> assignment,
                          const std::string& name) {
  files::Json json{{"name", name}, {"phases", files::Json::array()}};
  const std::size_t steps = assignment.size();
  for (std::size_t step = 0; step < steps; ++step) {
    if (step + 1 < steps && assignment[step + 1] == assignment[step]) continue;
    files::Json phase = files::Json::object();
    if (step + 1 < steps) phase["until"] = until(step + 1, steps);
    phase["recipe"] = recipe::recipe_json(result.recipes[assignment[step]]);
    json["phases"].push_back(std::move(phase));
  }
  return json;
}

const TunedPoint& chosen_point(const Tuned& tuned, ScheduleKind kind) {
  const TunedPoint* point = tuned.front(kind).within(tuned.budget_s);
  if (!point)
    throw Error(ErrorKind::internal, "schedule", "no point of the front meets the budget", {});
  return *point;
}

Assignment whole_steps(const Result& result, const TunedPoint& point) {
  const auto groups = static_cast<std::size_t>(result.errors.groups);
  Assignment steps;
  for (std::size_t i = 0; i < point.assignment.size(); i += groups)
    steps.push_back(point.assignment[i]);
  return steps;
}

files::Json chosen_schedule(const Result& result, ScheduleKind kind) {
  const Tuned& main = result.main();
  return schedule_json(result, whole_steps(result, chosen_point(main, kind)),
                       std::string(to_string(kind)) + " for " + result.times[main.gpu].gpu);
}

}  // namespace karat::tune
