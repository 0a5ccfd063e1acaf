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

/// Everything wrong with a recipe; empty when it is valid. Single fields come first, so that a
/// recipe built in C++ is judged like one read from JSON; rules between fields follow once each has
/// a value.
std::vector<Problem> problems(const Recipe& recipe);

/// @throws Error(usage) "subject: path: why; action" for the first problem.
void validate(const Recipe& recipe, std::string_view subject = {});

}  // namespace karat::recipe
