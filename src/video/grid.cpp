// Implementation of video/grid.hpp: index arithmetic of grids and ragged tiles.
#include "karat/video/grid.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

void require_positive(const char* what, Extent3 extent) {
  if (extent.t > 0 && extent.h > 0 && extent.w > 0) return;
  throw Error(ErrorKind::usage, what, "extents must be positive, got " + to_string(extent),
              "give three positive numbers t,h,w");
}

int divide_up(int count, int size) { return count / size + (count % size != 0); }

}  // namespace

std::string to_string(Extent3 extent) {
  return std::to_string(extent.t) + "," + std::to_string(extent.h) + "," + std::to_string(extent.w);
}

Tiling::Tiling(Extent3 grid, Extent3 tile) : grid_(grid), tile_(tile) {
  require_positive("grid", grid);
  require_positive("tile", tile);
  constexpr double most = std::numeric_limits<std::int32_t>::max();
  if (double{1} * grid.t * grid.h * grid.w > most)
    throw Error(ErrorKind::usage, "grid", to_string(grid) + " has more than 2^31 - 1 tokens",
                "use a smaller grid");
  tiles_ = {divide_up(grid.t, tile.t), divide_up(grid.h, tile.h), divide_up(grid.w, tile.w)};
}

Extent3 Tiling::coordinate(int tile) const { return token_coordinate(tiles_, tile); }

Box Tiling::box(int tile) const {
  const Extent3 c = coordinate(tile);
  const Extent3 origin{c.t * tile_.t, c.h * tile_.h, c.w * tile_.w};
  return {origin,
          {std::min(tile_.t, grid_.t - origin.t), std::min(tile_.h, grid_.h - origin.h),
           std::min(tile_.w, grid_.w - origin.w)}};
}

int Tiling::tile_of(Extent3 token) const {
  return static_cast<int>(
      token_index(tiles_, {token.t / tile_.t, token.h / tile_.h, token.w / tile_.w}));
}

int Tiling::tile_of(std::int64_t token) const { return tile_of(token_coordinate(grid_, token)); }

Extent3 token_coordinate(Extent3 grid, std::int64_t token) {
  const std::int64_t row = token / grid.w;
  return {static_cast<int>(row / grid.h), static_cast<int>(row % grid.h),
          static_cast<int>(token % grid.w)};
}

std::int64_t token_index(Extent3 grid, Extent3 coordinate) {
  return (std::int64_t{coordinate.t} * grid.h + coordinate.h) * grid.w + coordinate.w;
}

}  // namespace karat::video
