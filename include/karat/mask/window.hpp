// Sliding-tile windows (arXiv 2502.04507; FPSAttention's W(t)): a query tile sees the key tiles near it.
#pragma once

#include <memory>

#include "karat/mask/mask.hpp"
#include "karat/video/grid.hpp"

namespace karat::mask {

enum class Unit {
  tiles,           ///< |dc| <= w/2 (integer division) on every axis, c = tile coordinates
  tokens_by_tile,  ///< 2*T*|dc| <= W, W in tokens
  tokens_exact,    ///< |dt| <= W/2 per token and axis: partial tiles at the edge
};
enum class Border {
  truncate,  ///< what sticks out of the grid is lost
  clamp,     ///< the centre moves inside: every query tile sees the same number of tiles
};
enum class Centre {
  query,  ///< the window lies around the query's tile
  key,    ///< around the key's tile ("tile(q) in W(tile(k))"): under clamp the transpose
};

struct Window {
  video::Extent3 tile{6, 8, 8};
  video::Extent3 window{3, 3, 3};
  Unit unit = Unit::tiles;
  Border border = Border::clamp;
  Centre centre = Centre::query;
};

/// @throws Error(usage) when a window extent is not positive.
std::unique_ptr<Mask> window_mask(const Window& window, video::Extent3 grid,
                                  const video::TokenOrder& order);
/// Every pair of tokens (padding keys excepted).
std::unique_ptr<Mask> dense_mask(const video::TokenOrder& order);

}  // namespace karat::mask
