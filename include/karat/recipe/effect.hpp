// Which fields of the backward decide anything under a recipe. A scale rule of BF16 operands, say,
// decides nothing: validation refuses such a field unless it has its default.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// Why no backward can tell the values of this field apart; empty where one can, and for every
/// field of the forward. Whether it can on a certain head (heads shared or not, blocks cut by a
/// mask or not) is not asked.
std::string_view why_without_effect(const Recipe& recipe, std::string_view path);

inline bool has_effect(const Recipe& recipe, std::string_view path) {
  return why_without_effect(recipe, path).empty();
}

/// Fields without effect get their defaults, but for instructions, which formats imply, and for
/// those named in `given`.
void reset_without_effect(Recipe& recipe, const std::set<std::string>& given = {});

}  // namespace karat::recipe
