// Hundreds of random windows against the brute-force boolean matrix.
#include <gtest/gtest.h>

#include "brute_force.hpp"
#include "dice.hpp"

namespace karat::mask {
namespace {

class RandomMask : public testing::TestWithParam<int> {};

TEST_P(RandomMask, EqualsTheBooleanMatrix) {
  Dice dice(GetParam());
  for (int i = 0; i < 50; ++i) {
    const video::Extent3 grid = dice.extent(5, 7, 9);
    const Window window = dice.window();
    // Mostly the window's own tiles, sometimes an order that has nothing to do with them.
    const video::Extent3 tile = dice.from(0, 3) > 0 ? window.tile : dice.extent(3, 4, 4);
    const auto order = video::tile_order({grid, tile}, dice.pick<video::Ragged>(2));
    expect_equal(*window_mask(window, grid, order), window_matrix(window, grid, order),
                 dice.blocks(order), dice.blocks(order));
    ASSERT_FALSE(HasFailure()) << "grid " << to_string(grid) << " tile " << to_string(window.tile)
                               << " window " << to_string(window.window) << " unit "
                               << int(window.unit) << " border " << int(window.border) << " centre "
                               << int(window.centre) << " order " << to_string(tile);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomMask, testing::Range(1, 11));

}  // namespace
}  // namespace karat::mask
