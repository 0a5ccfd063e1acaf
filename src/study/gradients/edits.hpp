// Edits of a recipe's backward that sweeps compare.
#pragma once

#include <string>
#include <vector>

#include "karat/recipe/recipe.hpp"
#include "karat/study/sweep.hpp"

namespace karat::study {

struct NamedEdit {
  std::string value;
  recipe::Recipe recipe;
};
/// Of the axes p_in_dv, d_o, ds and delta; nothing of the others, or without a backward. What is
/// not said of the instructions follows from the formats.
std::vector<NamedEdit> backward_edits(const recipe::Recipe& base, SweepAxis axis);

}  // namespace karat::study
