// A tensor map (CUtensorMap) in an encoding of our own, 128 bytes like the driver's, whose layout
// is not public. Checks and meanings follow cuTensorMapEncodeTiled of the CUDA driver API; fields
// are those of tensormap.replace (PTX ISA, "tensormap.replace").
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "units/lanes.hpp"

namespace karat::ptx::units {

/// Values of CUtensorMapDataType.
enum class TensorType : std::uint8_t {
  u8,
  u16,
  u32,
  s32,
  u64,
  s64,
  f16,
  f32,
  f64,
  bf16,
  f32_ftz,
  tf32,
  tf32_ftz
};
int tensor_type_bytes(TensorType);
/// Values of CUtensorMapSwizzle.
enum class TensorSwizzle : std::uint8_t { none, bytes32, bytes64, bytes128 };
/// Values of CUtensorMapFloatOOBfill.
enum class OutOfBounds : std::uint8_t { zero, nan };

/// Dimension 0 is the innermost. stride[i] is in bytes; stride[0], the element's size, is implied.
struct TensorMap {
  TensorType type = TensorType::u8;
  int rank = 1;
  std::uint64_t address = 0;
  std::array<std::uint64_t, 5> size = {1, 1, 1, 1, 1};  ///< elements
  std::array<std::uint64_t, 5> stride = {};             ///< bytes, [1] to [rank - 1]
  std::array<std::uint32_t, 5> box = {1, 1, 1, 1, 1};   ///< elements, before element strides
  std::array<std::uint32_t, 5> element_stride = {1, 1, 1, 1, 1};
  std::uint8_t interleave = 0;  ///< value of CUtensorMapInterleave; other than 0 is refused
  TensorSwizzle swizzle = TensorSwizzle::none;
  std::uint8_t l2_promotion = 0;  ///< kept, of no effect
  OutOfBounds fill = OutOfBounds::zero;

  bool operator==(const TensorMap&) const = default;
};

/// What cuTensorMapEncodeTiled refuses: rank 1 to 5; address a multiple of 16; sizes 1 to 2^32;
/// strides multiples of 16 below 2^40; boxes 1 to 256; the inner box a multiple of 16 bytes and
/// within the swizzle's span; element strides 1 to 8; NaN fill for floating types only.
/// @throws Error(usage) naming the argument
void check(const TensorMap&);

inline constexpr std::size_t kTensorMapBytes = 128;
using TensorMapImage = std::array<std::byte, kTensorMapBytes>;

/// check(), then the image. Bit 21 of 64-bit word 1 is zero and has no meaning: programs clear it.
TensorMapImage encode(const TensorMap&);
/// @throws Error(usage) when the bytes are no image of ours or check() refuses what they say
TensorMap decode(std::span<const std::byte> image);

/// Fields of tensormap.replace.tile.
enum class TensorMapField : std::uint8_t {
  global_address,
  rank,
  box_dim,
  global_dim,
  global_stride,
  element_stride,
  elemtype,
  interleave_layout,
  swizzle_mode,
  fill_mode
};
/// @throws Error(usage) for an unknown name
TensorMapField tensor_map_field(std::string_view name);

/// Writes one field into an image. An image of zero bytes is taken as an empty map; anything else
/// must be ours. `rank` is the rank minus one. `global_stride` of ordinal i is the stride of
/// dimension i + 1 in bytes (assumed). `elemtype` follows PTX's own table, where 8 is f32.ftz and 9
/// f64. Nothing is checked before decode().
/// @param ordinal  dimension of box_dim, global_dim, global_stride, element_stride, else ignored
/// @throws Error(usage) for a foreign image, an ordinal beyond 4, a value the field cannot hold
void replace_field(std::span<std::byte> image, TensorMapField field, int ordinal,
                   std::uint64_t value);

}  // namespace karat::ptx::units
