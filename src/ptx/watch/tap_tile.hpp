// Private: the values that lanes hold as the tile they are.
#pragma once

#include <vector>

#include "karat/ptx/tap.hpp"

namespace karat::ptx {

/// What the lanes of one warp hold of a tile, [lane][element].
struct LaneElement {
  std::uint64_t row = 0, column = 0;
};
/// Where an element of a lane belongs. Rows count from the first warp that takes part.
/// @param warp  from the first that takes part
/// @param bytes  of an element
LaneElement element_place(TapLayout layout, std::uint64_t warp, std::uint64_t lane,
                          std::uint64_t element, std::uint64_t bytes);
struct TileShape {
  std::uint64_t rows = 0, columns = 0;
};
/// @param elements  of a lane
TileShape tile_shape(TapLayout layout, std::uint64_t warps, std::uint64_t elements);

/// The tensor of a tap whose warps came `visits` times.
/// @param warps  of each the values of all visits: [visit][lane][element]
files::Tensor tile_of(const Tap& tap, std::uint64_t elements,
                      const std::vector<std::vector<std::byte>>& warps);

}  // namespace karat::ptx
