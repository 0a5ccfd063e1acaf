// Canonical layouts of wgmma operands, as tiles of 16-byte chunks: where an element lies follows
// from the tile it belongs to, its row and chunk there, and the XOR of the chunk with the row.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "units/matrix_descriptor.hpp"

namespace karat::ptx::units {

struct Layout {
  std::string name;
  Major major;
  MatrixSwizzle swizzle;
  std::uint32_t span;  ///< bytes, 16 without swizzle
};
inline std::vector<Layout> layouts() {
  std::vector<Layout> all;
  for (const Major major : {Major::k, Major::mn}) {
    const std::string m = major == Major::k ? "k-major " : "mn-major ";
    all.push_back({m + "none", major, MatrixSwizzle::none, 16});
    all.push_back({m + "32", major, MatrixSwizzle::bytes32, 32});
    all.push_back({m + "64", major, MatrixSwizzle::bytes64, 64});
    all.push_back({m + "128", major, MatrixSwizzle::bytes128, 128});
  }
  return all;
}

inline constexpr std::uint32_t kLayoutBase = 1024;  ///< shared address of the first byte

struct Placed {
  MatrixDescriptor descriptor;
  std::size_t size;  ///< bytes of shared memory from kLayoutBase on
  std::function<std::uint32_t(int row, int k)> address;
};

/// An operand of `rows` x 32 bytes of K in tiles one after the other.
///
/// k-major: a tile is 8 rows of `span` bytes; tiles follow along the rows; without swizzle the
/// second 16 bytes of K lie in tiles behind all the first ones. `k_step` 1 takes the next 32 bytes
/// of K where the span has them. mn-major: a tile is 8 values of k, each `span` bytes of rows;
/// tiles follow along K, then rows. Chunk c of line r of a tile of 8 lines lies at chunk c ^ (r /
/// (128 / span) % (span / 16)).
inline Placed place(const Layout& layout, int element_bytes, int rows, std::uint32_t k_step) {
  const auto e = static_cast<std::uint32_t>(element_bytes), n = static_cast<std::uint32_t>(rows);
  const std::uint32_t span = layout.span, tile = 8 * span, chunks = span / 16;
  const auto in_tile = [=](std::uint32_t line, std::uint32_t byte) {
    const std::uint32_t chunk = byte / 16 ^ (chunks > 1 ? line / (128 / span) % chunks : 0);
    return line * span + chunk * 16 + byte % 16;
  };
  Placed placed;
  MatrixDescriptor& d = placed.descriptor;
  d.swizzle = layout.swizzle;
  if (layout.major == Major::k) {
    const std::uint32_t skip = span > 32 ? 32 * k_step : 0;
    d.start = kLayoutBase + skip;
    d.stride = tile;
    d.leading = span == 16 ? n / 8 * tile : 16;
    placed.size = static_cast<std::size_t>(n) / 8 * tile * (span == 16 ? 2 : 1);
    placed.address = [=](int row, int k) {
      const std::uint32_t r = static_cast<std::uint32_t>(row),
                          byte = static_cast<std::uint32_t>(k) * e + skip;
      const std::uint32_t block = span == 16 ? byte / 16 * (n / 8) : 0;
      return kLayoutBase + (block + r / 8) * tile + in_tile(r % 8, byte % span);
    };
    return placed;
  }
  const std::uint32_t depth = 32 / e, per = span / e;
  const std::uint32_t along_k = tile, along_rows = depth / 8 * tile;
  d.start = kLayoutBase;
  d.stride = span == 16 ? along_rows : along_k;
  d.leading = span == 16 ? along_k : along_rows;
  placed.size = static_cast<std::size_t>((n + per - 1) / per) * along_rows;
  placed.address = [=](int row, int k) {
    const std::uint32_t r = static_cast<std::uint32_t>(row), line = static_cast<std::uint32_t>(k);
    return kLayoutBase + r / per * along_rows + line / 8 * along_k + in_tile(line % 8, r % per * e);
  };
  return placed;
}

}  // namespace karat::ptx::units
