// What to change where a recipe's mask drops nothing, so that a study of sparsity studies it.
#pragma once

#include <optional>
#include <string>

#include "karat/recipe/recipe.hpp"
#include "karat/study/run.hpp"

namespace karat::study {

/// A tile no larger than the recipe's, with which its window of tiles keeps at most half of the
/// pairs of that grid: one that divides the grid before others, then the one with the most equal
/// sides, then the largest. Nothing where the mask is no window that follows tiles, or no tile of
/// 16 tokens or more does it.
std::optional<video::Extent3> smaller_tile(const recipe::Recipe& recipe, video::Extent3 grid);

/// Why the mask of that recipe of the result drops nothing, and which tile drops something:
/// "tiles of 6x8x8 on 4x8x16 tokens lie all in the window 3x3x3; mask.tile 1,4,4 keeps 28 % of the
/// pairs". Nothing where its mask is no window of tiles, or the result does not know the grid.
std::optional<std::string> tile_advice(const StudyResult& result, std::int32_t recipe);

}  // namespace karat::study
