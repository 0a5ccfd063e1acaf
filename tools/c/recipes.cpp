// Recipes as handles, and the names a caller may use.

#include "call.hpp"
#include "karat/hopper/machine.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "karat/recipe/grid.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule.hpp"
#include "karat/video/models.hpp"
#include "karat/video/workload.hpp"

namespace karat::c {
namespace {

template <typename Table, typename Name>
files::Json listed(const Table& table, Name name) {
  files::Json names = files::Json::array();
  for (const auto& row : table) names.push_back(name(row));
  return names;
}

files::Json known_names(std::string_view what) {
  const auto itself = [](const auto& name) { return std::string(name); };
  const auto by_name = [](const auto& row) { return row.name; };
  if (what == "recipes") return listed(recipe::preset_names(), itself);
  if (what == "instructions") return listed(numerics::instructions(), by_name);
  if (what == "policies") return listed(numerics::policies(), by_name);
  if (what == "formats") return listed(numerics::formats(), by_name);
  if (what == "gpus") return listed(hopper::machine_names(), itself);
  if (what == "models") return listed(video::models(), by_name);
  if (what == "workloads") return listed(video::workload_kinds(), by_name);
  throw Error(ErrorKind::usage, "names", "\"" + std::string(what) + "\" is not known",
              "ask for recipes, instructions, policies, formats, gpus, models or workloads");
}

bool is_json(std::string_view text) {
  const auto start = text.find_first_not_of(" \t\r\n");
  return start != std::string_view::npos && text[start] == '{';
}

files::Json schedule_of(std::string_view text, int steps, const double* sigma) {
  const recipe::Schedule schedule = is_json(text) ? recipe::parse_schedule(text, "schedule")
                                                  : recipe::load_schedule(std::string(text));
  if (steps < 1 || steps > 1'000'000)
    throw Error(ErrorKind::usage, "steps", std::to_string(steps) + " is out of range",
                "give the sampler's steps, 1 to 1000000");
  files::Json json{
      {"name", schedule.name}, {"recipes", files::Json::array()}, {"steps", files::Json::array()}};
  for (const recipe::Phase& phase : schedule.phases)
    json["recipes"].push_back(files::parse_json(recipe::to_json(phase.recipe), phase.recipe.name));
  for (int step = 0; step < steps; ++step)
    json["steps"].push_back(recipe::phase_of(
        schedule, step, steps, sigma == nullptr ? std::nullopt : std::optional(sigma[step])));
  return json;
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_recipe_new(const char* text, karat_recipe** recipe, karat_error* error) {
  return c::guarded(error, [&] {
    const std::string_view given = c::required(text, "recipe");
    c::required(recipe, "recipe");
    *recipe = new karat_recipe{c::is_json(given) ? recipe::parse_recipe(given, "recipe")
                                                 : recipe::load_recipe(given)};
  });
}

void karat_recipe_free(karat_recipe* recipe) { delete recipe; }

karat_status karat_recipe_json(const karat_recipe* recipe, char** json, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(json, "json");
    *json = c::handed_out(
        recipe::to_json(c::required(recipe, "recipe")->recipe, recipe::JsonStyle::line));
  });
}

karat_status karat_recipe_grid_reason(const karat_recipe* recipe, char** reason,
                                      karat_error* error) {
  return c::guarded(error, [&] {
    c::required(reason, "reason");
    const auto found = recipe::grid_reason(c::required(recipe, "recipe")->recipe);
    *reason = found ? c::handed_out(*found) : nullptr;
  });
}

karat_status karat_schedule(const char* text, int32_t steps, const double* sigma, char** json,
                            karat_error* error) {
  return c::guarded(error, [&] {
    c::required(json, "json");
    *json = c::handed_out(c::schedule_of(c::required(text, "schedule"), steps, sigma).dump());
  });
}

karat_status karat_names(const char* what, char** json, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(json, "json");
    *json = c::handed_out(c::known_names(c::required(what, "what")).dump());
  });
}
