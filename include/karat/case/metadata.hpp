// What karat writes beside tensors so that the next command need not be told again: safetensors
// metadata and golden files use the same keys, "recipe" (JSON) and "grid" ("T,H,W").
#pragma once

#include <optional>
#include <string>

#include "karat/files/tensor.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/video/grid.hpp"

namespace karat::cases {

/// "text", the number of tokens behind the video's, stands there when there are any.
files::Metadata describe(const recipe::Recipe& recipe, video::Extent3 grid, int text = 0);
/// Nothing when the key is missing or is not three positive numbers.
std::optional<video::Extent3> grid_of(const files::Metadata& metadata);
/// The grid somebody said: grid_of, unless it is the 1,1,S that karat wrote for a recipe of the file
/// that needs none. @throws Error(usage) as recipe_of
std::optional<video::Extent3> said_grid(const files::Metadata& metadata,
                                        const std::string& subject);
/// 0 when the key is missing or is no number.
int text_of(const files::Metadata& metadata);
/// Nothing when the key is missing. @throws Error(usage) when it is no valid recipe.
std::optional<recipe::Recipe> recipe_of(const files::Metadata& metadata,
                                        const std::string& subject);

}  // namespace karat::cases
