// libFuzzer target: any text read as a recipe is either refused with one line or prints as a recipe
// that reads the same again.
#include <string>

#include "check.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace karat;
  recipe::Recipe recipe;
  try {
    recipe = recipe::parse_recipe({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error& error) {
    fuzz::require(error.kind() != ErrorKind::internal);
    fuzz::require(std::string_view(error.what()).find('\n') == std::string_view::npos);
    return 0;
  }
  const recipe::Recipe back = recipe::parse_recipe(recipe::to_json(recipe), "printed");
  fuzz::require(recipe::diff(recipe, back).empty());
  fuzz::require(recipe.name == back.name && recipe.about == back.about);
  return 0;
}
