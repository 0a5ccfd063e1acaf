// Presets for tests that exercise the forward: a backward alone makes no forward of its own.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {

/// Names of the presets but for those with a backward whose forward is that of another one.
inline std::vector<std::string_view> forward_presets() {
  std::vector<Recipe> kept;
  std::vector<std::string_view> names;
  for (const bool with_backward : {false, true})
    for (const std::string_view name : preset_names()) {
      Recipe recipe = preset(name);
      if (recipe.backward.exists() != with_backward) continue;
      recipe.backward = {};
      if (with_backward && std::ranges::any_of(kept, [&](const Recipe& other) {
            return diff(recipe, other).empty();
          }))
        continue;
      kept.push_back(recipe);
      names.push_back(name);
    }
  std::ranges::sort(names);
  return names;
}

}  // namespace karat::recipe
