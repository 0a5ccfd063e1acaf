// Hundreds of random windows against the brute-force boolean matrix.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "brute_force.hpp"

namespace karat::mask {
namespace {

using video::Align;
using video::Extent3;
using video::Ragged;
using video::tile_order;

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  int from(int low, int high) {  // the same numbers with every standard library
    return low + static_cast<int>(engine_() % static_cast<unsigned>(high - low + 1));
  }
  Extent3 extent(int t, int h, int w) { return {from(1, t), from(1, h), from(1, w)}; }

 private:
  std::mt19937 engine_;
};

std::vector<Range> random_blocks(Dice& dice, const video::TokenOrder& order) {
  if (dice.from(0, 2) > 0)
    return cut_blocks(order, dice.from(1, 40), dice.from(0, 1) ? Align::tile : Align::sequence);
  std::vector<Range> blocks;  // of any size, overlapping, also empty
  for (int i = 0; i < 12; ++i) {
    const int positions = static_cast<int>(order.positions());
    const int begin = dice.from(0, positions), end = dice.from(0, positions);
    blocks.push_back({std::min(begin, end), std::max(begin, end)});
  }
  return blocks;
}

class RandomMask : public testing::TestWithParam<int> {};

TEST_P(RandomMask, EqualsTheBooleanMatrix) {
  Dice dice(GetParam());
  for (int i = 0; i < 50; ++i) {
    const Extent3 grid = dice.extent(5, 7, 9);
    const Window window{.tile = dice.extent(3, 4, 4),
                        .window = dice.extent(8, 8, 12),
                        .unit = static_cast<Unit>(dice.from(0, 2)),
                        .border = static_cast<Border>(dice.from(0, 1)),
                        .centre = static_cast<Centre>(dice.from(0, 1))};
    // Mostly the window's own tiles, sometimes an order that has nothing to do with them.
    const Extent3 order_tile = dice.from(0, 3) > 0 ? window.tile : dice.extent(3, 4, 4);
    const auto order = tile_order({grid, order_tile}, static_cast<Ragged>(dice.from(0, 1)));
    SCOPED_TRACE("grid " + to_string(grid) + " tile " + to_string(window.tile) + " window " +
                 to_string(window.window) + " unit " + std::to_string(int(window.unit)) +
                 " border " + std::to_string(int(window.border)) + " centre " +
                 std::to_string(int(window.centre)) + " order " + to_string(order_tile));
    expect_equal(*window_mask(window, grid, order), window_matrix(window, grid, order),
                 random_blocks(dice, order), random_blocks(dice, order));
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomMask, testing::Range(1, 11));

}  // namespace
}  // namespace karat::mask
