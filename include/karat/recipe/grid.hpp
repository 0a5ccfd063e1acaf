// Which recipes mean nothing without the grid T,H,W of their video tokens.
#pragma once

#include <optional>
#include <string>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// Why a launch of this recipe must be told its grid: a field, its value and what it does, as
/// "mask.tile 6,8,8 orders the tokens by it". Nothing where every grid of as many tokens gives the
/// same bits: no tiles, no window, no band, no scales by tile.
std::optional<std::string> grid_reason(const Recipe& recipe);

/// @throws Error(usage) when the recipe needs a grid: the reason, and what to say for `tokens` of
///   video that are no video
void require_grid_free(const Recipe& recipe, std::int64_t tokens);

}  // namespace karat::recipe
