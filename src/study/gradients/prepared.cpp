// Variants of a recipe with a backward: unmasked, rung by rung, part by part.
#include "gradients/prepared.hpp"

#include <nlohmann/json.hpp>

#include "karat/attention/backward.hpp"
#include "karat/case/backward.hpp"
#include "karat/files/json_file.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::study {
namespace {

using recipe::Recipe;

/// What decides the bits of a forward.
std::string key_of(Recipe recipe) {
  recipe.name.clear();
  recipe.about.clear();
  recipe.backward = {};
  return recipe::to_json(recipe, recipe::JsonStyle::line);
}

/// What decides the bits of an uncoded P's output: it reads V as the recipe's own codes say.
std::string uncoded_p_key(const Recipe& recipe) {
  Recipe uncoded = attention::unquantised_p(recipe);
  uncoded.v = recipe.v;
  return key_of(std::move(uncoded));
}

PreparedBackward prepared(const Recipe& recipe, video::Extent3 grid, std::size_t channels) {
  const bool uncoded = recipe.backward.delta == recipe::Delta::unquantised_p;
  return {.kernel = {recipe, layout::make_layout(recipe, grid, channels)},
          .forward_key = key_of(recipe),
          .uncoded_p_key = uncoded ? uncoded_p_key(recipe) : std::string()};
}

}  // namespace

PreparedGradients prepare_gradients(const Recipe& recipe, video::Extent3 grid, std::size_t channels,
                                    bool take_apart) {
  recipe::validate(recipe, recipe.name);
  cases::require_backward(recipe);
  const auto of = [&](const Recipe& variant) { return prepared(variant, grid, channels); };
  PreparedGradients made{.full = of(recipe), .unmasked = of(without_mask(recipe))};
  const mask::BlockMap blocks = attention::backward_blocks(recipe, made.full.kernel.layout);
  made.query_blocks = blocks.query_blocks;
  made.key_blocks = blocks.key_blocks;
  const files::Json json = files::Json::parse(to_json(recipe, recipe::JsonStyle::line));
  const files::Json &mask = json.at("mask"), &block = json.at("block");
  made.mask_key = mask.dump() + block.dump();
  made.rows_key = mask.at("tile").dump() + mask.at("ragged").dump() + mask.at("order").dump() +
                  block.at("q").dump() + block.at("k").dump() + block.at("align").dump();
  if (!take_apart) return made;
  const Recipe exact = without_gradient_errors(recipe);
  for (const GradientRung& rung : gradient_ladder(recipe)) {
    PreparedGradientRung& one =
        made.rungs.emplace_back(PreparedGradientRung{.part = rung.part, .so_far = of(rung.recipe)});
    if (row_of(rung.part).stands != Stands::alone) continue;
    const Recipe alone = with_gradient_part(exact, recipe, rung.part);
    one.alone = of(alone);
    one.alone_dense = of(without_mask(alone));
  }
  return made;
}

}  // namespace karat::study
