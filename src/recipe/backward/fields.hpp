// The rows of the field table that describe the backward.
#pragma once

#include <vector>

#include "karat/recipe/fields.hpp"

namespace karat::recipe {

void add_backward_fields(std::vector<Field>& rows);

}  // namespace karat::recipe
