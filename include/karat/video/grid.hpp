// The token grid of a video latent and its cut into 3-D tiles with ragged edges.
#pragma once

#include <cstdint>
#include <string>

namespace karat::video {

/// Three counts or coordinates, time first. w runs fastest: token (t,h,w) has index (t*H + h)*W +
/// w.
struct Extent3 {
  int t = 1;
  int h = 1;
  int w = 1;
  std::int64_t volume() const { return std::int64_t{t} * h * w; }
  friend bool operator==(const Extent3&, const Extent3&) = default;
};

/// "t,h,w", as the command line takes it.
std::string to_string(Extent3 extent);

/// A box of tokens: origin and size; edge tiles are smaller than the nominal tile.
struct Box {
  Extent3 origin;
  Extent3 size;
};

/// A grid cut into tiles; tile ids are row-major over tile coordinates. Grids that do not divide
/// get smaller tiles at their far ends: tile c spans [c*T, min((c+1)*T, N)) on an axis of N tokens.
class Tiling {
 public:
  /// @throws Error(usage) when an extent is not positive or the grid exceeds 2^31 - 1 tokens.
  Tiling(Extent3 grid, Extent3 tile);
  Extent3 grid() const { return grid_; }
  Extent3 tile() const { return tile_; }
  Extent3 tiles() const { return tiles_; }  ///< tiles per axis, ceil(grid / tile)
  int tile_count() const { return static_cast<int>(tiles_.volume()); }
  Extent3 coordinate(int tile) const;     ///< of a tile id in [0, tile_count())
  Box box(int tile) const;                ///< tokens of a tile, never empty
  int tile_of(Extent3 token) const;       ///< id of the tile that holds a token coordinate
  int tile_of(std::int64_t token) const;  ///< likewise by token index

 private:
  Extent3 grid_, tile_, tiles_;
};

/// Row-major index and its inverse; the caller keeps coordinates inside the grid.
Extent3 token_coordinate(Extent3 grid, std::int64_t token);
std::int64_t token_index(Extent3 grid, Extent3 coordinate);

}  // namespace karat::video
