// Contradictions between the backward's fields, and with the forward's.
#pragma once

#include <vector>

#include "karat/recipe/validate.hpp"

namespace karat::recipe {

/// Every single field already has a value of its kind.
void add_backward_problems(const Recipe& recipe, std::vector<Problem>& found);

}  // namespace karat::recipe
