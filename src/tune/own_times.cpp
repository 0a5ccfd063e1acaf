// Times of a step that somebody measured, in place of the time model's.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/tune/measured_problem.hpp"

namespace karat::tune {
namespace {

using files::Json;

[[noreturn]] void refuse(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::input_output, subject, problem,
              R"(give {"about": words, "dense": seconds, "recipes": {name: seconds of a step}})");
}

double seconds(const Json& value, const std::string& name, const std::string& subject) {
  const double found = value.is_number() ? value.get<double>() : 0;
  if (!(found > 0) || !(found <= 1e9)) refuse(subject, name + " is no time above 0");
  return found;
}

}  // namespace

OwnTimes parse_times(std::string_view text, const std::string& subject) {
  const Json json = files::parse_json(text, subject);
  if (!json.is_object()) refuse(subject, "is no object");
  const std::set<std::string> wanted{"about", "dense", "recipes"};
  for (const auto& [name, value] : json.items())
    if (!wanted.contains(name)) refuse(subject, "\"" + name + "\" is no field");
  for (const std::string& name : wanted)
    if (!json.contains(name)) refuse(subject, name + " is missing");
  if (!json["about"].is_string()) refuse(subject, "about is no text");
  if (!json["recipes"].is_object()) refuse(subject, "recipes is no object");
  OwnTimes out{.about = json["about"].get<std::string>(),
               .dense_s = seconds(json["dense"], "dense", subject),
               .recipe_s = {},
               .subject = subject};
  for (const auto& [name, value] : json["recipes"].items())
    out.recipe_s.emplace_back(name, seconds(value, name, subject));
  return out;
}

StepTimes step_times(const OwnTimes& own, std::span<const recipe::Recipe> recipes) {
  StepTimes out{.gpu = own.about, .fixed_s = 0, .decided_s = {}, .dense_s = own.dense_s};
  for (const recipe::Recipe& recipe : recipes) {
    const auto found = std::find_if(own.recipe_s.begin(), own.recipe_s.end(),
                                    [&](const auto& one) { return one.first == recipe.name; });
    if (found == own.recipe_s.end() && !dense_16_bit(recipe))
      throw Error(ErrorKind::usage, "recipe " + recipe.name, "has no time in " + own.subject,
                  "add it to the file's recipes, or leave it out of the candidates");
    out.decided_s.push_back(found == own.recipe_s.end() ? own.dense_s : found->second);
  }
  return out;
}

}  // namespace karat::tune
