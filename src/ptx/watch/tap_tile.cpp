#include "watch/tap_tile.hpp"

#include <cstring>

#include "karat/numerics/base/error.hpp"

namespace karat::ptx {

LaneElement element_place(TapLayout layout, std::uint64_t warp, std::uint64_t lane,
                          std::uint64_t element, std::uint64_t bytes) {
  const std::uint64_t row = 16 * warp + lane / 4, column = 2 * (lane % 4);
  switch (layout) {
    case TapLayout::accumulator:
      return {row + 8 * (element / 2 % 2), 8 * (element / 4) + column + element % 2};
    case TapLayout::operand: {
      const std::uint64_t of_register = 4 / bytes, number = element / of_register;
      const std::uint64_t step = number / 4, part = number % 4;
      const std::uint64_t byte = 32 * step + 16 * (part / 2) + 4 * (lane % 4);
      return {row + 8 * (part % 2), byte / bytes + element % of_register};
    }
    case TapLayout::rows:
      return {row + 8 * element, 0};
    case TapLayout::lanes:
      return {32 * warp + lane, element};
  }
  return {};
}

TileShape tile_shape(TapLayout layout, std::uint64_t warps, std::uint64_t elements) {
  switch (layout) {
    case TapLayout::accumulator:
    case TapLayout::operand:
      return {16 * warps, 2 * elements};
    case TapLayout::rows:
      return {16 * warps, 1};
    case TapLayout::lanes:
      return {32 * warps, elements};
  }
  return {};
}

files::Tensor tile_of(const Tap& tap, std::uint64_t elements,
                      const std::vector<std::vector<std::byte>>& warps) {
  const std::uint64_t bytes = files::info(tap.dtype).size;
  const TileShape tile = tile_shape(tap.layout, warps.size(), elements);
  const std::uint64_t visit_bytes = 32 * elements * bytes;
  const std::uint64_t visits = warps[0].size() / visit_bytes;
  for (const auto& each : warps)
    if (each.size() != visits * visit_bytes)
      throw Error(
          ErrorKind::usage, "tap " + tap.stage,
          "its warps come to line " + std::to_string(tap.line) + " a different number of times",
          "name those that come there: first_warp, warps");
  const bool last = tap.visits == TapVisits::last, stacked = tap.visits == TapVisits::stacked;
  const std::uint64_t first = last ? visits - 1 : 0, count = visits - first;
  const std::uint64_t line = tile.columns * (stacked ? 1 : count);  // elements
  files::Shape shape;
  if (stacked) shape.push_back(count);
  shape.push_back(tile.rows);
  if (tap.layout != TapLayout::rows || (!stacked && count > 1)) shape.push_back(line);
  files::Tensor tensor = files::make_tensor(tap.dtype, shape);
  for (std::uint64_t w = 0; w < warps.size(); ++w)
    for (std::uint64_t v = 0; v < count; ++v)
      for (std::uint64_t lane = 0; lane < 32; ++lane)
        for (std::uint64_t e = 0; e < elements; ++e) {
          const LaneElement at = element_place(tap.layout, w, lane, e, bytes);
          const std::uint64_t to = stacked ? (v * tile.rows + at.row) * line + at.column
                                           : at.row * line + v * tile.columns + at.column;
          const std::uint64_t from = (first + v) * 32 * elements + lane * elements + e;
          std::memcpy(tensor.bytes.data() + to * bytes, warps[w].data() + from * bytes, bytes);
        }
  return tensor;
}

}  // namespace karat::ptx
