// Which recipes mean something: every contradiction with the field's path, why, and what to do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

struct Problem {
  std::string path;  ///< the field at fault
  std::string why;
  std::string action;  ///< the next useful thing to do
};

/// Everything wrong with a recipe, in table order; empty when it is valid. Ranges of single fields
/// are checked too, so a recipe built in C++ is judged like one read from JSON.
std::vector<Problem> problems(const Recipe& recipe);

/// @throws Error(usage) "subject: path: why; action" for the first problem.
void validate(const Recipe& recipe, std::string_view subject = {});

}  // namespace karat::recipe
