// Random grids, windows and blocks for property tests; the same with every standard library.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "karat/mask/window.hpp"

namespace karat::mask {

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}

  int from(int low, int high) {
    return low + static_cast<int>(engine_() % static_cast<unsigned>(high - low + 1));
  }
  template <typename Enum>
  Enum pick(int count) {
    return static_cast<Enum>(from(0, count - 1));
  }
  video::Extent3 extent(int t, int h, int w) {
    const int a = from(1, t), b = from(1, h), c = from(1, w);
    return {a, b, c};
  }
  Window window() {
    Window window;
    window.tile = extent(3, 4, 4);
    window.window = extent(8, 8, 12);
    window.unit = pick<Unit>(3);
    window.border = pick<Border>(2);
    window.centre = pick<Centre>(2);
    return window;
  }
  /// Mostly blocks as kernels cut them, sometimes any ranges: overlapping, empty, the whole.
  std::vector<Range> blocks(const video::TokenOrder& order) {
    if (from(0, 2) > 0) return cut_blocks(order, from(1, 40), pick<video::Align>(2));
    std::vector<Range> blocks;
    for (int i = 0; i < 12; ++i) {
      const int positions = static_cast<int>(order.positions());
      const int begin = from(0, positions), end = from(0, positions);
      blocks.push_back({std::min(begin, end), std::max(begin, end)});
    }
    return blocks;
  }

 private:
  std::mt19937 engine_;
};

}  // namespace karat::mask
