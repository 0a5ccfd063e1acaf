// Judging one value of one field by itself: kind, range, spelling.
#pragma once

#include <string>

#include "karat/recipe/fields.hpp"

namespace karat::recipe {

/// What is wrong with the value; empty when the field takes it.
std::string value_problem(const Field& field, const Value& value);
/// What to give instead.
std::string value_action(const Field& field, const Value& value);

}  // namespace karat::recipe
