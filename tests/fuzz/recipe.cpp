// Any text read as a recipe is either refused with one line or prints as a recipe that reads the
// same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "karat/numerics/error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace karat;
  recipe::Recipe recipe;
  try {
    recipe = recipe::parse_recipe({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error& error) {
    const bool one_line = std::string_view(error.what()).find('\n') == std::string_view::npos;
    if (!one_line || error.kind() == ErrorKind::internal) std::abort();
    return 0;
  }
  const recipe::Recipe back = recipe::parse_recipe(recipe::to_json(recipe), "printed");
  if (!recipe::diff(recipe, back).empty() || recipe.name != back.name) std::abort();
  return 0;
}
