// Recipes as JSON: strict reading, complete printing, and the presets that ship with the library.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// Reads one JSON object. Fields not given keep their default, or the value of the preset named by
/// "base". When no instruction is given, the formats of its operands imply it (always without a
/// base; with a base only where the text names one of those formats).
/// The result is valid (validate.hpp).
/// @param subject what errors are about, e.g. the file's name
/// @throws Error(usage) for text that is no JSON or gives a key twice, with line and column, and
///   "subject: path: problem; action" for unknown fields (naming the nearest), wrong types, values
///   out of range, and recipes without meaning.
Recipe parse_recipe(std::string_view json_text, std::string_view subject);

enum class JsonStyle {
  line,  ///< one line, for attributes and hashes
  page,  ///< one section a line, wrapped at 100 columns, for people
};
/// The resolved recipe: every field, in table order. parse_recipe(to_json(r)) == r.
std::string to_json(const Recipe& recipe, JsonStyle style = JsonStyle::page);

/// Names of the presets, sorted.
std::vector<std::string_view> preset_names();
/// @throws Error(usage) for an unknown name, suggesting the nearest.
Recipe preset(std::string_view name);

/// A preset's name, or a path ending in ".json".
/// @throws Error(input_output) when the file cannot be read; as preset() and parse_recipe().
Recipe load_recipe(std::string_view name_or_path);

}  // namespace karat::recipe
