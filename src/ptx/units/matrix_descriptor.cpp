// Addresses of wgmma operands, and their bytes gathered by chunks of 16.
#include "units/matrix_descriptor.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::uint32_t kChunk = 16;  ///< bytes that no swizzle takes apart

std::uint32_t span_of(MatrixSwizzle swizzle) {
  switch (swizzle) {
    case MatrixSwizzle::none:
      return 0;
    case MatrixSwizzle::bytes128:
      return 128;
    case MatrixSwizzle::bytes64:
      return 64;
    case MatrixSwizzle::bytes32:
      return 32;
  }
  return 0;
}

/// Calls visit(shared address of a chunk, first row, first k) for every chunk of the operand. Along
/// the contiguous index a chunk holds 16 / element_bytes elements.
template <typename Visit>
void for_chunks(const MatrixDescriptor& at, Major major, int element_bytes, int rows, int depth,
                Visit visit) {
  const int per_chunk = static_cast<int>(kChunk) / element_bytes;
  if (major == Major::k) {
    for (int row = 0; row < rows; ++row) {
      for (int k = 0; k < depth; k += per_chunk) {
        visit(element_address(at, major, element_bytes, row, k), row, k);
      }
    }
  } else {
    for (int k = 0; k < depth; ++k) {
      for (int row = 0; row < rows; row += per_chunk) {
        visit(element_address(at, major, element_bytes, row, k), row, k);
      }
    }
  }
}

}  // namespace

MatrixDescriptor matrix_descriptor(std::uint64_t word) {
  const auto bytes = [word](int first) {
    return static_cast<std::uint32_t>((word >> first) & 0x3FFF) << 4;
  };
  return {.start = bytes(0),
          .leading = bytes(16),
          .stride = bytes(32),
          .base_offset = static_cast<std::uint8_t>((word >> 49) & 7),
          .swizzle = static_cast<MatrixSwizzle>(word >> 62)};
}

std::uint64_t bits(const MatrixDescriptor& at) {
  const auto field = [](std::uint32_t bytes) { return std::uint64_t{(bytes >> 4) & 0x3FFF}; };
  return field(at.start) | field(at.leading) << 16 | field(at.stride) << 32 |
         std::uint64_t{at.base_offset & 7u} << 49 | static_cast<std::uint64_t>(at.swizzle) << 62;
}

std::uint32_t swizzled(std::uint32_t address, MatrixSwizzle swizzle) {
  switch (swizzle) {
    case MatrixSwizzle::none:
      return address;
    case MatrixSwizzle::bytes128:
      return address ^ ((address >> 3) & 0x70);
    case MatrixSwizzle::bytes64:
      return address ^ ((address >> 3) & 0x30);
    case MatrixSwizzle::bytes32:
      return address ^ ((address >> 3) & 0x10);
  }
  return address;
}

std::uint32_t element_address(const MatrixDescriptor& at, Major major, int element_bytes, int row,
                              int k) {
  const auto r = static_cast<std::uint32_t>(row), e = static_cast<std::uint32_t>(element_bytes);
  const auto depth = static_cast<std::uint32_t>(k);
  const std::uint32_t span = span_of(at.swizzle);
  std::uint32_t linear = 0;
  if (major == Major::k) {
    const std::uint32_t byte = depth * e;
    linear = r / 8 * at.stride;
    linear += span != 0 ? r % 8 * span + byte
                        : r % 8 * kChunk + byte % kChunk + byte / kChunk * at.leading;
  } else if (span != 0) {
    const std::uint32_t per = span / e;
    linear = r % per * e + r / per * at.leading + depth % 8 * span + depth / 8 * at.stride;
  } else {
    linear = r % 8 * e + r / 8 * at.stride + depth % 8 * kChunk + depth / 8 * at.leading;
  }
  return swizzled(at.start + linear, at.swizzle);
}

std::vector<ByteRange> matrix_ranges(const MatrixDescriptor& at, Major major, int element_bytes,
                                     int rows, int depth) {
  std::vector<std::uint32_t> chunks;
  chunks.reserve(static_cast<std::size_t>(rows) * static_cast<std::size_t>(depth * element_bytes) /
                 kChunk);
  for_chunks(at, major, element_bytes, rows, depth,
             [&](std::uint32_t address, int, int) { chunks.push_back(address); });
  std::sort(chunks.begin(), chunks.end());
  std::vector<ByteRange> ranges;
  for (const std::uint32_t chunk : chunks) {
    if (ranges.empty() || chunk > ranges.back().end) {
      ranges.push_back({chunk, chunk + kChunk});
    } else {
      ranges.back().end = std::max<std::uint64_t>(ranges.back().end, chunk + kChunk);
    }
  }
  return ranges;
}

void gather_matrix(const MatrixDescriptor& at, Major major, int element_bytes, int rows, int depth,
                   SharedMemory memory, std::byte* out, std::size_t line) {
  if (at.base_offset != 0) {
    throw Error(ErrorKind::usage, "matrix descriptor",
                "base offset " + std::to_string(at.base_offset) + " is not supported",
                "start swizzle patterns on multiples of 1024, 512 or 256 bytes");
  }
  const auto e = static_cast<std::size_t>(element_bytes);
  const auto source = [&](std::uint32_t address) -> const std::byte* {
    if (memory.holds(address, kChunk)) return memory.at(address);
    throw Error(ErrorKind::usage, "matrix descriptor",
                "it reaches shared address " + std::to_string(address) + ", outside the CTA's " +
                    std::to_string(memory.bytes.size()) + " bytes from " +
                    std::to_string(memory.base));
  };
  if (major == Major::k) {
    // The addresses of element_address(), a row at a time.
    const std::uint32_t span = span_of(at.swizzle);
    const std::uint32_t row_step = span != 0 ? span : kChunk;
    const std::uint32_t chunk_step = span != 0 ? kChunk : at.leading;
    const std::size_t chunks = static_cast<std::size_t>(depth) * e / kChunk;
    for (std::uint32_t row = 0; row < static_cast<std::uint32_t>(rows); ++row) {
      std::uint32_t address = at.start + row / 8 * at.stride + row % 8 * row_step;
      for (std::size_t chunk = 0; chunk < chunks; ++chunk, address += chunk_step) {
        std::memcpy(out + row * line + chunk * kChunk, source(swizzled(address, at.swizzle)),
                    kChunk);
      }
    }
    return;
  }
  for_chunks(at, major, element_bytes, rows, depth, [&](std::uint32_t address, int row, int k) {
    const std::byte* chunk = source(address);
    std::byte* target =
        out + static_cast<std::size_t>(row) * line + static_cast<std::size_t>(k) * e;
    for (std::size_t i = 0; i < kChunk / e; ++i) std::memcpy(target + i * line, chunk + i * e, e);
  });
}

}  // namespace karat::ptx::units
