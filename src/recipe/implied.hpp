// Which instruction the formats of two operands ask for.
#pragma once

#include <set>
#include <string>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// Sets qk.instruction when q.format or k.format is among the `given` paths and the instruction is
/// not; pv.instruction from p.format and v.format likewise.
void imply_instructions(Recipe& recipe, const std::set<std::string>& given);

}  // namespace karat::recipe
