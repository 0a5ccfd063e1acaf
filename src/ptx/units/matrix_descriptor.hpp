// Where the elements of a wgmma operand lie in shared memory. PTX ISA: "Shared Memory Matrix
// Layout", "Strides", "Matrix Descriptor Format" (asynchronous warpgroup level matrix
// instructions).
#pragma once

#include <cstdint>
#include <vector>

#include "units/lanes.hpp"

namespace karat::ptx::units {

/// Values of the descriptor's bits 62-63; the span in bytes is 0, 128, 64, 32.
enum class MatrixSwizzle : std::uint8_t { none, bytes128, bytes64, bytes32 };

/// bits 0-13 start >> 4, 16-29 leading byte offset >> 4, 32-45 stride byte offset >> 4, 49-51 base
/// offset, 62-63 swizzle.
struct MatrixDescriptor {
  std::uint32_t start = 0;    ///< shared address, 18 bits
  std::uint32_t leading = 0;  ///< bytes
  std::uint32_t stride = 0;   ///< bytes
  std::uint8_t base_offset = 0;
  MatrixSwizzle swizzle = MatrixSwizzle::none;

  bool operator==(const MatrixDescriptor&) const = default;
};
MatrixDescriptor matrix_descriptor(std::uint64_t bits);
std::uint64_t bits(const MatrixDescriptor&);

/// Which index of the operand is contiguous.
enum class Major : std::uint8_t { k, mn };

/// Swizzle of an absolute shared address: 128 bytes: bits 4-6 ^= bits 7-9; 64: bits 4-5 ^= bits
/// 7-8; 32: bit 4 ^= bit 7.
std::uint32_t swizzled(std::uint32_t address, MatrixSwizzle);

/// Shared address of element (row, k), element_bytes each, row counting M of A or N of B: swizzled
/// (start + linear), with e the element's bytes, W the span, per = W / e:
///   k-major, span W   (r / 8) * stride + (r % 8) * W + k * e            (leading unused)
///   k-major, none     (r % 8) * 16 + (r / 8) * stride + (k * e) % 16 + (k * e / 16) * leading
///   mn-major, span W  (r % per) * e + (r / per) * leading + (k % 8) * W + (k / 8) * stride
///   mn-major, none    (r % 8) * e + (r / 8) * stride + (k % 8) * 16 + (k / 8) * leading
/// A k that leaves the span goes on in the next one, as written. mn-major is for 16-bit elements.
std::uint32_t element_address(const MatrixDescriptor&, Major, int element_bytes, int row, int k);

/// The bytes of rows [0, rows) x k [0, depth), sorted and joined: what a wgmma reads.
/// Depth is that of one instruction: 32 bytes of k.
std::vector<ByteRange> matrix_ranges(const MatrixDescriptor&, Major, int element_bytes, int rows,
                                     int depth);

/// Copies rows x depth elements: element (row, k) to out + row * line + k * element_bytes.
/// @pre depth * element_bytes and line are multiples of 16, rows of 8
/// @throws Error(usage) for a base offset other than 0, or bytes outside the shared memory
void gather_matrix(const MatrixDescriptor&, Major, int element_bytes, int rows, int depth,
                   SharedMemory memory, std::byte* out, std::size_t line);

}  // namespace karat::ptx::units
