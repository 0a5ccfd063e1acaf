// Recipes as handles, and the names a caller may use.

#include "call.hpp"
#include "karat/hopper/machine.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "karat/recipe/grid.hpp"
#include "karat/recipe/json.hpp"
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

files::Json names_of(std::string_view what) {
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

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_recipe_new(const char* text, karat_recipe** recipe, karat_error* error) {
  return c::guarded(error, [&] {
    const std::string_view given = c::required(text, "recipe");
    c::required(recipe, "recipe");
    const auto start = given.find_first_not_of(" \t\r\n");
    const bool json = start != std::string_view::npos && given[start] == '{';
    *recipe =
        new karat_recipe{json ? recipe::parse_recipe(given, "recipe") : recipe::load_recipe(given)};
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

karat_status karat_names(const char* what, char** json, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(json, "json");
    *json = c::handed_out(c::names_of(c::required(what, "what")).dump());
  });
}
