// Reading schedules, and picking a step's recipe.
#include "karat/recipe/schedule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"
#include "read_forms.hpp"

namespace karat::recipe {
namespace {

using files::Json;

[[noreturn]] void wrong_schedule(const std::string& subject, const std::string& problem) {
  throw Error(
      ErrorKind::usage, subject, problem,
      "write {\"phases\": [{\"until\": 0.2, \"recipe\": ...}, ..., {\"recipe\": ...}]}, or a "
      "form of docs/schedules.md");
}

void require_keys(const Json& object, std::initializer_list<std::string_view> known,
                  const std::string& subject) {
  if (!object.is_object()) wrong_schedule(subject, "is not a JSON object");
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      wrong_schedule(subject, "unknown key \"" + key + "\"");
}

/// t <= a*steps with a the shortest decimal that reads back as this f64.
bool within(int t, double a, int steps) {
  std::array<char, 64> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), a, std::chars_format::fixed).ptr;
  __extension__ using Wide = __int128;
  Wide digits = 0, unit = 1;
  bool fraction = false;
  for (const char* c = text.data(); c != end; ++c) {
    if (*c == '.') {
      fraction = true;
      continue;
    }
    digits = digits * 10 + (*c - '0');
    if (fraction) unit *= 10;
  }
  return t * unit <= digits * steps;
}

double number(const Json& node, const std::string& subject, double low, double high) {
  const double value = node.is_number() ? node.get<double>() : -1;
  if (!(value >= low && value <= high)) wrong_schedule(subject, "is not a number in its range");
  return value;
}

/// Fractions shorter than this many decimals stay exact in within().
double fraction(const Json& node, const std::string& subject) {
  return number(node, subject, 1e-6, 1);
}

int step_count(const Json& node, const std::string& subject) {
  const double count = number(node, subject, 0, 1 << 20);
  if (count != std::floor(count)) wrong_schedule(subject, "is not a whole number");
  return static_cast<int>(count);
}

void require_order(const Schedule& schedule, const std::string& subject) {
  double before = 0;
  for (std::size_t i = 0; i < schedule.phases.size(); ++i) {
    const Phase& phase = schedule.phases[i];
    const bool last = i + 1 == schedule.phases.size();
    if (last == phase.has_condition())
      wrong_schedule(subject,
                     last ? "the last phase must have no condition"
                          : "a phase before the last needs until, sigma_from, first or last");
    if (phase.until.has_value() + phase.sigma_from.has_value() + phase.first.has_value() +
            phase.last.has_value() >
        1)
      wrong_schedule(subject, "a phase has two conditions");
    if (!phase.until) continue;
    if (*phase.until <= before) wrong_schedule(subject, "fractions must rise from phase to phase");
    before = *phase.until;
  }
}

Value extent(const Json& node, const std::string& subject) {
  if (!node.is_array() || node.size() != 3) wrong_schedule(subject, "is not [t, h, w]");
  const auto side = [&](std::size_t i) {
    return static_cast<int>(number(node[i], subject, 1, 1 << 20));
  };
  return video::Extent3{side(0), side(1), side(2)};
}

/// Algorithm 1's form: alpha, g and W on one line.
Schedule three_phases(const Json& document, const std::string& subject) {
  require_keys(document, {"name", "base", "alpha", "g", "W"}, subject);
  for (const auto& [key, size] : {std::pair{"alpha", 2u}, {"g", 3u}, {"W", 3u}})
    if (!document.contains(key) || !document[key].is_array() || document[key].size() != size)
      wrong_schedule(subject, "needs " + std::to_string(size) + " entries of " + key);
  constexpr std::array kNames{"coarse", "fine", "intermediate"};
  Schedule schedule;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::string at = subject + ": phase " + kNames[i];
    Recipe recipe = recipe_from(document.value("base", Json("fpsattention")), at);
    recipe.name += std::string("_") + kNames[i];
    recipe.about.clear();
    for (const char* tile : {"q.tile", "k.tile"}) set(recipe, tile, extent(document["g"][i], at));
    set(recipe, "mask.window", extent(document["W"][i], at));
    validate(recipe, at);
    schedule.phases.emplace_back().recipe = std::move(recipe);
    if (i < 2) schedule.phases.back().until = fraction(document["alpha"][i], at + ": alpha");
  }
  return schedule;
}

Schedule listed_phases(const Json& document, const std::string& subject) {
  require_keys(document, {"name", "phases"}, subject);
  if (!document["phases"].is_array() || document["phases"].empty())
    wrong_schedule(subject, "\"phases\" is not a list of phases");
  Schedule schedule;
  for (const Json& node : document["phases"]) {
    const std::string at = subject + ": phase " + std::to_string(schedule.phases.size() + 1);
    require_keys(node, {"until", "sigma_from", "first", "last", "recipe"}, at);
    if (!node.contains("recipe")) wrong_schedule(at, "has no recipe");
    Phase& phase = schedule.phases.emplace_back();
    if (node.contains("until")) phase.until = fraction(node["until"], at + ": until");
    if (node.contains("sigma_from"))
      phase.sigma_from = number(node["sigma_from"], at + ": sigma_from", 0, 1e6);
    if (node.contains("first")) phase.first = step_count(node["first"], at + ": first");
    if (node.contains("last")) phase.last = step_count(node["last"], at + ": last");
    phase.recipe = recipe_from(node["recipe"], at + ": recipe");
  }
  return schedule;
}

Schedule schedule_from(const Json& document, const std::string& at) {
  if (!document.is_object()) wrong_schedule(at, "is not a JSON object");
  Schedule schedule = document.contains("phases") ? listed_phases(document, at)
                      : is_form(document)         ? from_form(document, at)
                                                  : three_phases(document, at);
  if (document.contains("name")) {
    if (!document["name"].is_string()) wrong_schedule(at, "\"name\" is not a text");
    schedule.name = document["name"].get<std::string>();
  }
  require_order(schedule, at);
  return schedule;
}

}  // namespace

Schedule parse_schedule(std::string_view text, std::string_view subject) {
  const std::string at(subject);
  if (const auto line = sglang_line(text)) return from_sglang(*line, at);
  return schedule_from(files::parse_json(text, at, ErrorKind::usage), at);
}

Schedule load_schedule(const std::string& path_or_text) {
  if (const auto line = sglang_line(path_or_text)) return from_sglang(*line, path_or_text);
  return parse_schedule(files::read_text(path_or_text), path_or_text);
}

std::vector<const Recipe*> recipes_of(const Schedule& schedule, int steps,
                                      std::span<const double> sigmas) {
  std::vector<const Recipe*> recipes;
  for (int step = 0; step < steps; ++step)
    recipes.push_back(&recipe_of(
        schedule, step, steps,
        sigmas.empty() ? std::nullopt : std::optional(sigmas[static_cast<std::size_t>(step)])));
  return recipes;
}

bool needs_sigma(const Schedule& schedule) {
  return std::ranges::any_of(schedule.phases,
                             [](const Phase& phase) { return phase.sigma_from.has_value(); });
}

const Recipe& recipe_of(const Schedule& schedule, int step, int steps,
                        std::optional<double> sigma) {
  return schedule.phases[phase_of(schedule, step, steps, sigma)].recipe;
}

std::size_t phase_of(const Schedule& schedule, int step, int steps, std::optional<double> sigma) {
  if (steps < 1 || step < 0 || step >= steps)
    throw Error(ErrorKind::usage, "step " + std::to_string(step),
                "is none of " + std::to_string(steps) + " steps", "give one from 0 to steps - 1");
  for (std::size_t i = 0; i < schedule.phases.size(); ++i) {
    const Phase& phase = schedule.phases[i];
    if (phase.until && !within(step + 1, *phase.until, steps)) continue;
    if (phase.first && step >= *phase.first) continue;
    if (phase.last && step < steps - *phase.last) continue;
    if (phase.sigma_from) {
      if (!sigma)
        throw Error(ErrorKind::usage, "schedule", "a phase asks for the step's noise level",
                    "give the step's sigma");
      if (*sigma < *phase.sigma_from) continue;
    }
    return i;
  }
  throw Error(ErrorKind::internal, "schedule", "its last phase has a condition", {});
}

}  // namespace karat::recipe
