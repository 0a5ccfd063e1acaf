// Variants of a recipe: unmasked, rung by rung, part by part, and with a suspect's edit.
#include "prepared.hpp"

#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::study {
namespace {

using recipe::Recipe;

Kernel kernel(const Recipe& recipe, video::Extent3 grid, std::size_t channels) {
  return {recipe, layout::make_layout(recipe, grid, channels)};
}

/// Parts that act on their own; the rest work on codes that others make.
bool stands_alone(Part part) {
  return part == Part::qk || part == Part::p || part == Part::v || part == Part::output;
}

std::vector<std::pair<std::string, Recipe>> suspects(const Recipe& recipe) {
  std::vector<std::pair<std::string, Recipe>> edits;
  Recipe omitted = recipe, times_1 = recipe, e4m3 = recipe;
  omitted.qk.score_scale = recipe::ScoreScale::omitted;
  edits.emplace_back("score_scale", omitted);
  times_1.p.apply = recipe::PApply::multiply;
  times_1.p.multiplier = 1;
  times_1.p.offset = 0;
  edits.emplace_back("p_times_1", times_1);
  e4m3.output = numerics::FormatId::e4m3;
  edits.emplace_back("e4m3_output", e4m3);
  return edits;
}

}  // namespace

Prepared prepare(const Recipe& recipe, video::Extent3 grid, std::size_t channels, bool take_apart) {
  recipe::validate(recipe, recipe.name);
  Prepared made{.full = kernel(recipe, grid, channels),
                .unmasked = kernel(without_mask(recipe), grid, channels)};
  const files::Json json = files::Json::parse(to_json(recipe, recipe::JsonStyle::line));
  const files::Json block = json.at("block");
  made.mask_key = json.at("mask").dump() + block.dump();
  made.rows_key = json.at("mask").at("tile").dump() + json.at("mask").at("ragged").dump() +
                  json.at("mask").at("order").dump() + block.at("q").dump() +
                  block.at("align").dump();
  if (!take_apart) return made;
  const Recipe exact = without_errors(recipe);
  for (const Rung& rung : ladder(recipe)) {
    PreparedRung& prepared =
        made.rungs.emplace_back(PreparedRung{rung.part, kernel(rung.recipe, grid, channels), {}});
    if (stands_alone(rung.part))
      prepared.alone = kernel(with_part(exact, recipe, rung.part), grid, channels);
  }
  for (auto& [name, edit] : suspects(recipe))
    if (recipe::problems(edit).empty())
      made.suspects.push_back({name, kernel(edit, grid, channels)});
  return made;
}

}  // namespace karat::study
