// Masks drawn as SVG: the whole matrix, or what one query tile sees inside the video.
#pragma once

#include <string>
#include <vector>

#include "karat/mask/mask.hpp"
#include "karat/video/grid.hpp"

namespace karat::mask {

/// Words above a picture.
struct Caption {
  std::string title;
  std::vector<std::string> lines;
};

/// Query tiles down, key tiles across. Above 300 tiles neighbouring tiles share a cell: partial
/// then also means that they differ.
std::string draw_matrix(const Mask& mask, const video::TokenOrder& order, const Caption& caption);

/// The key tiles of one query tile in the T x H x W grid, one slice of tiles after the other, each
/// tile as large as its tokens.
/// @throws Error(usage) unless query_tile is one of the tiling's and the order is of the tiling
std::string draw_window(const Mask& mask, const video::Tiling& tiling,
                        const video::TokenOrder& order, int query_tile, const Caption& caption);

}  // namespace karat::mask
