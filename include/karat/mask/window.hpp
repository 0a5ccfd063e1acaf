// Sliding-tile windows (arXiv 2502.04507; FPSAttention's W(t)): a query tile sees the key tiles
// near it.
#pragma once

#include <memory>

#include "karat/mask/mask.hpp"
#include "karat/video/grid.hpp"

namespace karat::mask {

/// What a window extent counts. Each unit gives a radius r per axis, in cells: tiles, or single
/// tokens for tokens_exact.
enum class Unit {
  tiles,           ///< |dc| <= r = w/2, c = tile coordinates: an even w sees w+1 tiles
  tokens_by_tile,  ///< 2*T*|dc| <= W, W in tokens: r = W/(2T)
  tokens_exact,    ///< |dt| <= r = W/2 per token: partial tiles; an even W sees W+1 tokens
};
/// What happens at the ends of an axis of C cells. Under clamp the centre moves inside, to
/// clamp(c, r, C-1-r), so that every centre sees 2r+1 cells, and 2r+1 >= C covers the axis; with
/// tokens_exact it is the centre token that moves.
enum class Border {
  truncate,  ///< what sticks out of the grid is lost, however large the window: just |dc| <= r
  clamp,     ///< every query cell sees the same number of cells
};
/// Whose cell the window lies around. Key is Algorithm 1's "tile(q) in W(tile(k))": the transpose
/// of query, which is the same mask under truncate but not under clamp.
enum class Centre { query, key };

struct Window {
  video::Extent3 tile{6, 8, 8};  ///< not used by tokens_exact
  video::Extent3 window{3, 3, 3};
  Unit unit = Unit::tiles;
  Border border = Border::clamp;
  Centre centre = Centre::query;
};

/// The order may be of any tiles of the same grid; it is fastest when they are the window's.
/// @throws Error(usage) when a window or tile extent is not positive, or the order is of another
/// number of tokens.
std::unique_ptr<Mask> window_mask(const Window& window, video::Extent3 grid,
                                  const video::TokenOrder& order);
/// Every pair of tokens (padding keys excepted).
std::unique_ptr<Mask> dense_mask(const video::TokenOrder& order);

}  // namespace karat::mask
