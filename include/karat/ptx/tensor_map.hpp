// cuTensorMapEncodeTiled of the CUDA driver API, in an encoding of our own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace karat::ptx {

/// The driver's arguments: enumerators by their values, dimension 0 the contiguous one.
struct TiledMap {
  std::uint32_t type = 0;     ///< CUtensorMapDataType
  std::uint64_t address = 0;  ///< in global memory
  std::span<const std::uint64_t> size;
  std::span<const std::uint64_t> stride;  ///< bytes, of all dimensions but the first
  std::span<const std::uint32_t> box;
  std::span<const std::uint32_t> element_stride;
  std::uint32_t interleave = 0, swizzle = 0, l2_promotion = 0, fill = 0;
};

using TensorMapBytes = std::array<std::byte, 128>;

/// @throws Error(usage) naming the argument, for what the driver refuses too and for interleaved
/// layouts
TensorMapBytes encode_tensor_map(const TiledMap& map);

/// cuTensorMapReplaceAddress. @throws Error(usage) for bytes that encode_tensor_map() did not make
TensorMapBytes with_address(std::span<const std::byte> image, std::uint64_t address);

}  // namespace karat::ptx
