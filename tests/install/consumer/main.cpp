// A consumer of the installed library: one call into each layer that needs linking.
// Exits with the number of things that are not as they should be.
#include <cstdint>
#include <cstdio>

#include "karat/files/json_file.hpp"
#include "karat/mask/window.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/recipe/json.hpp"

namespace {

int failures = 0;

void expect(bool as_it_should_be, const char* what) {
  if (!as_it_should_be) std::printf("wrong: %s\n", what), ++failures;
}

}  // namespace

int main() {
  using namespace karat;
  const auto code = numerics::encode(448.0f, numerics::FormatId::e4m3);
  expect(code == 0x7E, "the largest E4M3 code");

  const recipe::Recipe recipe = recipe::preset("fpsattention");
  const recipe::Recipe back = recipe::parse_recipe(recipe::to_json(recipe), "printed");
  expect(back.p.multiplier == 448.0f, "a recipe printed and read");

  const video::Extent3 grid{30, 48, 80};
  const auto order = video::tile_order(video::Tiling(grid, recipe.mask.tile));
  const auto mask = mask::window_mask({}, grid, order);
  expect(mask->kept_pairs() == std::int64_t{27} * 384 * grid.volume(),
         "the work of a clamped window");
  return failures;
}
