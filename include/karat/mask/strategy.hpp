// Windows per denoising step, layer and head: FastVideo's mask-strategy JSON.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "karat/video/grid.hpp"

namespace karat::mask {

/// {"STEP_LAYER_HEAD": [t, h, w], ...}, windows in tiles; indices count from 0.
struct WindowStrategy {
  using Index = std::array<int, 3>;  ///< step, layer, head
  std::map<Index, video::Extent3> windows;

  /// @throws Error(usage) when the file says nothing about this head.
  video::Extent3 window(int step, int layer, int head) const;
};

/// @throws Error(input_output) "subject: ..." for text that is not such an object: keys other than
///         three numbers joined by '_', windows that are not three positive integers, no entry at
///         all.
WindowStrategy parse_window_strategy(std::string_view text, const std::string& subject);

}  // namespace karat::mask
