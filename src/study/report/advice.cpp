// Implementation of report/advice.hpp.
#include "report/advice.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <tuple>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/mask/window.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"
#include "karat/report/text.hpp"
#include "karat/video/grid.hpp"

namespace karat::study {
namespace {

using video::Extent3;

constexpr double kLargestShare = 0.5;
constexpr int kLeastTokens = 16;

bool follows_tiles(const recipe::Mask& mask) {
  return mask.kind == recipe::MaskKind::window && mask.unit != mask::Unit::tokens_exact;
}

/// Share of the tiles of one axis that a query in its middle sees.
double share_of_axis(int grid, int tile, int window, mask::Unit unit) {
  const int tiles = (grid + tile - 1) / tile;
  const int radius = unit == mask::Unit::tiles ? window / 2 : window / (2 * tile);
  return std::min(1.0, (2.0 * radius + 1) / tiles);
}

double kept_share(const recipe::Mask& mask, Extent3 tile, Extent3 grid) {
  return share_of_axis(grid.t, tile.t, mask.window.t, mask.unit) *
         share_of_axis(grid.h, tile.h, mask.window.h, mask.unit) *
         share_of_axis(grid.w, tile.w, mask.window.w, mask.unit);
}

bool has_tile(const recipe::Operand& operand) {
  return operand.group == recipe::Group::tile || operand.group == recipe::Group::tile_channel;
}

recipe::Recipe with_tile(recipe::Recipe recipe, Extent3 tile) {
  recipe.mask.tile = tile;
  for (recipe::Operand* operand : {&recipe.q, &recipe.k, &recipe.v})
    if (has_tile(*operand)) operand->tile = tile;
  return recipe;
}

/// "mask.tile, q.tile and k.tile"
std::string fields_of(const recipe::Recipe& recipe) {
  std::vector<std::string> fields{"mask.tile"};
  for (const auto& [name, operand] :
       {std::pair{"q.tile", &recipe.q}, {"k.tile", &recipe.k}, {"v.tile", &recipe.v}})
    if (has_tile(*operand)) fields.push_back(name);
  std::string text = fields.front();
  for (std::size_t i = 1; i < fields.size(); ++i)
    text += (i + 1 == fields.size() ? " and " : ", ") + fields[i];
  return text;
}

std::string comma_separated(Extent3 extent) {
  return report::print("%d,%d,%d", extent.t, extent.h, extent.w);
}

}  // namespace

std::optional<Extent3> smaller_tile(const recipe::Recipe& recipe, Extent3 grid) {
  if (!follows_tiles(recipe.mask)) return std::nullopt;
  constexpr std::array kSides{1, 2, 3, 4, 6, 8, 12, 16};
  const Extent3 largest = recipe.mask.tile;
  std::optional<Extent3> best;
  std::tuple<bool, double, int> merit;
  for (const int t : kSides)
    for (const int h : kSides)
      for (const int w : kSides) {
        const Extent3 tile{t, h, w};
        if (t > std::min(largest.t, grid.t) || h > std::min(largest.h, grid.h) ||
            w > std::min(largest.w, grid.w) || tile.volume() < kLeastTokens)
          continue;
        if (kept_share(recipe.mask, tile, grid) > kLargestShare) continue;
        if (!recipe::problems(with_tile(recipe, tile)).empty()) continue;
        const bool divides = grid.t % t == 0 && grid.h % h == 0 && grid.w % w == 0;
        const std::tuple found{divides,
                               static_cast<double>(std::min({t, h, w})) / std::max({t, h, w}),
                               static_cast<int>(tile.volume())};
        if (best && found <= merit) continue;
        best = tile;
        merit = found;
      }
  return best;
}

std::optional<std::string> tile_advice(const StudyResult& result, std::int32_t index) {
  if (result.identity.text.empty()) return std::nullopt;
  const files::Json asked = files::parse_json(result.identity.text, "study");
  const files::Json::json_pointer sides("/source/grid");
  if (!asked.contains(sides)) return std::nullopt;  // a capture studied by an earlier version
  const files::Json& of = asked.at(sides);
  const Extent3 grid{of.at(0).get<int>(), of.at(1).get<int>(), of.at(2).get<int>()};
  const recipe::Recipe recipe =
      recipe::parse_recipe(asked.at("recipes").at(static_cast<std::size_t>(index)).dump(), "study");
  if (!follows_tiles(recipe.mask)) return std::nullopt;
  std::string text = "tiles of " + video::to_string(recipe.mask.tile) + " on " +
                     video::to_string(grid) + " tokens lie all in the window " +
                     video::to_string(recipe.mask.window) + "; ";
  if (const auto tile = smaller_tile(recipe, grid))
    return text + fields_of(recipe) + " " + comma_separated(*tile) +
           report::print(" would keep %.0f %% of the pairs",
                         100 * kept_share(recipe.mask, *tile, grid));
  return text + "take a larger grid";
}

}  // namespace karat::study
