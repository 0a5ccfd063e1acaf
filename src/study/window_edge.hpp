// How far a query is from where its window ends.
#pragma once

#include "karat/layout/layout.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::study {

/// Tokens from the query to the nearest key that its mask drops, along the axes of the grid through
/// the query (a step along one axis at a time); the number of tokens across the grid where none is
/// dropped.
double window_edge(const recipe::Mask& mask, const layout::Layout& layout, std::int32_t token);

}  // namespace karat::study
