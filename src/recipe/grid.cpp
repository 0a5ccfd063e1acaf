// Implementation of recipe/grid.hpp.
#include "karat/recipe/grid.hpp"

#include "karat/numerics/base/error.hpp"
#include "karat/quant/quantise.hpp"

namespace karat::recipe {
namespace {

bool has_scales_by_tile(const Operand& operand) {
  return quant::has_scale(operand.format) &&
         (operand.group == Group::tile || operand.group == Group::tile_channel);
}

}  // namespace

std::optional<std::string> grid_reason(const Recipe& recipe) {
  const Mask& mask = recipe.mask;
  const std::string tile = video::to_string(mask.tile);
  if (mask.order == TokenSequence::token_major)
    return "mask.order token_major takes all frames of a place together";
  if (mask.tile != video::Extent3{1, 1, 1}) return "mask.tile " + tile + " orders the tokens by it";
  if (mask.kind == MaskKind::window)
    return "mask.window " + video::to_string(mask.window) + " lies in it";
  if (mask.kind == MaskKind::band) return "mask.kind band counts its frames";
  if (recipe.predict.rule == PredictRule::profile)
    return "predict.rule profile weighs bands of its frames";
  for (const auto& [name, operand] :
       {std::pair{"q", &recipe.q}, {"k", &recipe.k}, {"v", &recipe.v}})
    if (has_scales_by_tile(*operand))
      return std::string(name) + ".tile " + video::to_string(operand->tile) +
             " shares a scale by it";
  return std::nullopt;
}

void require_grid_free(const Recipe& recipe, std::int64_t tokens) {
  const auto reason = grid_reason(recipe);
  if (!reason) return;
  throw Error(ErrorKind::usage, "grid", "is missing, but " + *reason,
              "give T,H,W of the video's tokens, or 1,1," + std::to_string(tokens) +
                  " where they are one row");
}

}  // namespace karat::recipe
