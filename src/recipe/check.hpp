// Judging one value of one field by itself: kind, range, spelling.
#pragma once

#include <limits>
#include <string>

#include "karat/recipe/fields.hpp"

namespace karat::recipe {

inline constexpr double kInf = std::numeric_limits<double>::infinity();

/// What is wrong with the value; empty when the field takes it.
std::string value_problem(const Field& field, const Value& value);
/// What to give instead.
std::string value_action(const Field& field, const Value& value);

/// At most 60 bytes of `text`, for messages that quote what people wrote.
std::string shortened(const std::string& text);

}  // namespace karat::recipe
