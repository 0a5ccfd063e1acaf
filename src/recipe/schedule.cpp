// Reading schedules, and picking a step's recipe.
#include "karat/recipe/schedule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::recipe {
namespace {

using files::Json;

[[noreturn]] void fail(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::usage, subject, problem,
              "write {\"phases\": [{\"until\": 0.2, \"recipe\": ...}, ..., {\"recipe\": ...}]}");
}

void require_keys(const Json& object, std::initializer_list<std::string_view> known,
                  const std::string& subject) {
  if (!object.is_object()) fail(subject, "is not a JSON object");
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      fail(subject, "unknown key \"" + key + "\"");
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
  if (!(value >= low && value <= high)) fail(subject, "is not a number in its range");
  return value;
}

/// Fractions shorter than this many decimals stay exact in within().
double fraction(const Json& node, const std::string& subject) {
  return number(node, subject, 1e-6, 1);
}

Recipe recipe_from(const Json& node, const std::string& subject) {
  if (node.is_string()) return preset(node.get<std::string>());
  return parse_recipe(node.dump(), subject);
}

void require_order(const Schedule& schedule, const std::string& subject) {
  double before = 0;
  for (std::size_t i = 0; i < schedule.phases.size(); ++i) {
    const Phase& phase = schedule.phases[i];
    const bool last = i + 1 == schedule.phases.size();
    if (last == (phase.until || phase.sigma_from))
      fail(subject, last ? "the last phase must have no condition"
                         : "a phase before the last needs until or sigma_from");
    if (phase.until && phase.sigma_from) fail(subject, "a phase has two conditions");
    if (!phase.until) continue;
    if (*phase.until <= before) fail(subject, "fractions must rise from phase to phase");
    before = *phase.until;
  }
}

Value extent(const Json& node, const std::string& subject) {
  if (!node.is_array() || node.size() != 3) fail(subject, "is not [t, h, w]");
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
      fail(subject, "needs " + std::to_string(size) + " entries of " + key);
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
    schedule.phases.push_back({.until = {}, .sigma_from = {}, .recipe = std::move(recipe)});
    if (i < 2) schedule.phases.back().until = fraction(document["alpha"][i], at + ": alpha");
  }
  return schedule;
}

Schedule listed_phases(const Json& document, const std::string& subject) {
  require_keys(document, {"name", "phases"}, subject);
  if (!document["phases"].is_array() || document["phases"].empty())
    fail(subject, "\"phases\" is not a list of phases");
  Schedule schedule;
  for (const Json& node : document["phases"]) {
    const std::string at = subject + ": phase " + std::to_string(schedule.phases.size() + 1);
    require_keys(node, {"until", "sigma_from", "recipe"}, at);
    if (!node.contains("recipe")) fail(at, "has no recipe");
    Phase& phase = schedule.phases.emplace_back();
    if (node.contains("until")) phase.until = fraction(node["until"], at + ": until");
    if (node.contains("sigma_from"))
      phase.sigma_from = number(node["sigma_from"], at + ": sigma_from", 0, 1e6);
    phase.recipe = recipe_from(node["recipe"], at + ": recipe");
  }
  return schedule;
}

Schedule schedule_from(const Json& document, const std::string& at) {
  if (!document.is_object()) fail(at, "is not a JSON object");
  Schedule schedule =
      document.contains("phases") ? listed_phases(document, at) : three_phases(document, at);
  if (document.contains("name")) {
    if (!document["name"].is_string()) fail(at, "\"name\" is not a text");
    schedule.name = document["name"].get<std::string>();
  }
  require_order(schedule, at);
  return schedule;
}

}  // namespace

Schedule parse_schedule(std::string_view json_text, std::string_view subject) {
  const std::string at(subject);
  return schedule_from(files::parse_json(json_text, at, ErrorKind::usage), at);
}

Schedule load_schedule(const std::string& path) {
  return schedule_from(files::read_json(path, ErrorKind::usage), path);
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
