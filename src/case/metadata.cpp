// Recipe and grid as text and back.
#include "karat/case/metadata.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/recipe/grid.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

/// Files of earlier versions may name a choice of finish.fully_masked that always gave what "zero"
/// gives.
std::string without_retired_choices(const std::string& text, const std::string& subject) {
  files::Json json = files::parse_json(text, subject);
  const auto retired = files::Json::json_pointer("/finish/fully_masked");
  if (!json.is_object() || !json.contains(retired) || json[retired] != "mean_of_visited")
    return text;
  json[retired] = "zero";
  return json.dump();
}

}  // namespace

files::Metadata describe(const recipe::Recipe& recipe, video::Extent3 grid, int text) {
  files::Metadata metadata{{"grid", video::to_string(grid)},
                           {"recipe", recipe::to_json(recipe, recipe::JsonStyle::line)}};
  if (text > 0) metadata["text"] = std::to_string(text);
  return metadata;
}

std::optional<video::Extent3> said_grid(const files::Metadata& metadata,
                                        const std::string& subject) {
  const auto grid = grid_of(metadata);
  if (!grid || grid->t > 1 || grid->h > 1) return grid;
  const auto recipe = recipe_of(metadata, subject);
  return recipe && !recipe::grid_reason(*recipe) ? std::nullopt : grid;
}

int text_of(const files::Metadata& metadata) {
  const auto found = metadata.find("text");
  int text = 0;
  char rest = 0;
  if (found == metadata.end() || std::sscanf(found->second.c_str(), "%d%c", &text, &rest) != 1)
    return 0;
  return std::max(text, 0);
}

std::optional<video::Extent3> grid_of(const files::Metadata& metadata) {
  const auto found = metadata.find("grid");
  video::Extent3 grid;
  char rest = 0;
  if (found == metadata.end() ||
      std::sscanf(found->second.c_str(), "%d,%d,%d%c", &grid.t, &grid.h, &grid.w, &rest) != 3)
    return std::nullopt;
  if (grid.t < 1 || grid.h < 1 || grid.w < 1 ||
      double{1} * grid.t * grid.h * grid.w > std::numeric_limits<std::int32_t>::max())
    return std::nullopt;
  return grid;
}

std::optional<recipe::Recipe> recipe_of(const files::Metadata& metadata,
                                        const std::string& subject) {
  const auto found = metadata.find("recipe");
  if (found == metadata.end()) return std::nullopt;
  const std::string place = subject + ": recipe";
  return recipe::parse_recipe(without_retired_choices(found->second, place), place);
}

}  // namespace karat::cases
