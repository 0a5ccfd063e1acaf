// The token grid of a video latent and its cut into 3-D tiles with ragged edges.
#pragma once

#include <cstdint>
#include <vector>

namespace karat::video {

/// Three counts or coordinates, time first. w runs fastest: token (t,h,w) has index (t*H + h)*W + w.
struct Extent3 {
  int t = 1;
  int h = 1;
  int w = 1;
  std::int64_t volume() const { return std::int64_t{t} * h * w; }
  friend bool operator==(const Extent3&, const Extent3&) = default;
};

/// A box of tokens: origin and size; edge tiles are smaller than the nominal tile.
struct Box {
  Extent3 origin;
  Extent3 size;
};

/// A grid cut into tiles; tile ids are row-major over tile coordinates.
class Tiling {
 public:
  /// @throws Error(usage) when an extent is not positive.
  Tiling(Extent3 grid, Extent3 tile);
  Extent3 grid() const { return grid_; }
  Extent3 tile() const { return tile_; }
  Extent3 tiles() const { return tiles_; }  ///< tiles per axis, ceil(grid / tile)
  int tile_count() const { return static_cast<int>(tiles_.volume()); }
  Extent3 coordinate(int tile) const;
  Box box(int tile) const;
  int tile_of(Extent3 token) const;
  int tile_of(std::int64_t token) const;

 private:
  Extent3 grid_, tile_, tiles_;
};

Extent3 token_coordinate(Extent3 grid, std::int64_t token);
std::int64_t token_index(Extent3 grid, Extent3 coordinate);

}  // namespace karat::video
