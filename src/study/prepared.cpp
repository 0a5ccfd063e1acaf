// Variants of a recipe: unmasked, rung by rung, part by part, and with a suspect's edit.
#include "prepared.hpp"

#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::study {
namespace {

using recipe::Recipe;

PreparedKernel kernel(const Recipe& recipe, video::Extent3 grid, std::size_t channels) {
  return {recipe, layout::make_layout(recipe, grid, channels)};
}

/// Parts that act on their own; the rest work on codes that others make.
bool stands_alone(Part part) {
  return part == Part::qk || part == Part::p || part == Part::v || part == Part::output;
}

Recipe edited(Recipe recipe, Suspect suspect) {
  switch (suspect) {
    case Suspect::score_scale:
      recipe.qk.score_scale = recipe::ScoreScale::omitted;
      break;
    case Suspect::p_times_1:
      recipe.p.apply = recipe::PApply::multiply;
      recipe.p.multiplier = 1;
      recipe.p.offset = 0;
      break;
    case Suspect::e4m3_output:
      recipe.output = numerics::FormatId::e4m3;
      break;
  }
  return recipe;
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
  for (const SuspectRow& row : suspects()) {
    const Recipe edit = edited(recipe, row.suspect);
    if (recipe::problems(edit).empty())
      made.suspects.push_back({row.suspect, kernel(edit, grid, channels)});
  }
  return made;
}

}  // namespace karat::study
