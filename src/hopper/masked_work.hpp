// What a question's mask is to the time model. Private to the hopper layer; work_of() counts it.
#pragma once

#include "karat/hopper/cost.hpp"

namespace karat::hopper {

/// A mask over the grid, listed block by block. @throws Error(usage) for a given one
bool listed(const recipe::Recipe& recipe);
/// From Q and K of every head.
bool predicted(const recipe::Recipe& recipe);
/// Lists of blocks, known by their share alone.
bool by_density(const Question& question);
/// The question's, or the recipe's own where it is causal by itself.
Shape shape_of(const Question& question);

}  // namespace karat::hopper
