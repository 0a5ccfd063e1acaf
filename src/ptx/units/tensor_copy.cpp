// Tiles of tensors and plain bytes between shared and global memory.
#include "units/tensor_copy.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "units/matrix_descriptor.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::uint32_t kChunk = 16;          ///< bytes that no swizzle takes apart
constexpr std::size_t kLongestRow = 256 * 8;  ///< bytes

MatrixSwizzle swizzle_of(const TensorMap& map) {
  switch (map.swizzle) {
    case TensorSwizzle::none:
      return MatrixSwizzle::none;
    case TensorSwizzle::bytes32:
      return MatrixSwizzle::bytes32;
    case TensorSwizzle::bytes64:
      return MatrixSwizzle::bytes64;
    case TensorSwizzle::bytes128:
      return MatrixSwizzle::bytes128;
  }
  return MatrixSwizzle::none;
}

std::size_t inner_bytes(const TensorMap& map) {
  return map.box[0] * static_cast<std::size_t>(tensor_type_bytes(map.type));
}

/// Elements of the box along dimension i. The innermost takes no element stride.
std::uint32_t count(const TensorMap& map, std::size_t i) {
  const std::uint32_t step = i == 0 ? 1 : map.element_stride[i];
  return (map.box[i] + step - 1) / step;
}

[[noreturn]] void fail(const char* subject, const std::string& problem,
                       const std::string& action = {}) {
  throw Error(ErrorKind::usage, subject, problem, action);
}

void check_place(const TensorMap& map, std::span<const std::int32_t> coordinates,
                 SharedMemory memory, std::uint32_t shared) {
  if (coordinates.size() != static_cast<std::size_t>(map.rank)) {
    fail("tensor copy", std::to_string(coordinates.size()) +
                            " coordinates for a tensor map of rank " + std::to_string(map.rank));
  }
  if (shared % 128 != 0) {
    fail("tensor copy", "shared address " + std::to_string(shared) + " is no multiple of 128");
  }
  const ByteRange range = shared_range(map, shared);
  if (!memory.holds(range.begin, range.end - range.begin)) {
    fail("tensor copy", "shared addresses " + std::to_string(range.begin) + " to " +
                            std::to_string(range.end) + " leave the CTA's shared memory of " +
                            std::to_string(memory.bytes.size()) + " bytes from " +
                            std::to_string(memory.base));
  }
}

/// One row of the box: bytes [first, last) of it lie inside the tensor, at `address`; empty if
/// first = last.
struct Row {
  std::uint64_t offset;  ///< of the row in the box, without swizzle
  std::size_t first, last;
  std::uint64_t address;
};

/// Calls visit(Row) for the rows in the order they lie in shared memory.
template <typename Visit>
void for_rows(const TensorMap& map, std::span<const std::int32_t> coordinates, Visit visit) {
  const auto element = static_cast<std::int64_t>(tensor_type_bytes(map.type));
  const std::int64_t inner = map.box[0], at = coordinates[0];
  const auto extent = static_cast<std::int64_t>(map.size[0]);
  const std::int64_t first = std::clamp<std::int64_t>(-at, 0, inner);
  const std::int64_t last = std::clamp<std::int64_t>(extent - at, first, inner);
  const auto rank = static_cast<std::size_t>(map.rank);
  std::array<std::uint32_t, 5> e = {};
  for (std::uint64_t offset = 0;; offset += inner_bytes(map)) {
    bool inside = true;
    std::uint64_t address = map.address + static_cast<std::uint64_t>((at + first) * element);
    for (std::size_t i = 1; i < rank; ++i) {
      const std::int64_t c = coordinates[i] + std::int64_t{e[i]} * map.element_stride[i];
      inside = inside && c >= 0 && static_cast<std::uint64_t>(c) < map.size[i];
      address += static_cast<std::uint64_t>(c) * map.stride[i];
    }
    const std::int64_t end = inside ? last : first;
    visit(Row{offset, static_cast<std::size_t>(first * element),
              static_cast<std::size_t>(end * element), address});
    std::size_t i = 1;
    while (i < rank && ++e[i] == count(map, i)) e[i++] = 0;
    if (i >= rank) return;
  }
}

/// Calls visit(chunk's place in shared memory, offset in the row) for the chunks of a row.
template <typename Visit>
void for_chunks(const TensorMap& map, SharedMemory memory, std::uint32_t shared, const Row& row,
                Visit visit) {
  const MatrixSwizzle swizzle = swizzle_of(map);
  const auto start = static_cast<std::uint32_t>(shared + row.offset);
  for (std::uint32_t i = 0; i < inner_bytes(map); i += kChunk) {
    visit(memory.at(swizzled(start + i, swizzle)), i);
  }
}

/// The bytes of one element outside the tensor.
std::array<std::byte, 8> fill_element(const TensorMap& map) {
  std::array<std::byte, 8> element = {};
  if (map.fill == OutOfBounds::zero) return element;
  element.fill(std::byte{0xFF});
  element[static_cast<std::size_t>(tensor_type_bytes(map.type)) - 1] = std::byte{0x7F};
  return element;
}

void flush(std::byte* row, std::size_t size) {
  for (std::size_t i = 0; i < size; i += 4) {
    std::uint32_t word;
    std::memcpy(&word, row + i, 4);
    if ((word & 0x7F800000) == 0) word &= 0x80000000;
    std::memcpy(row + i, &word, 4);
  }
}

ReductionType reduction_type_of(const TensorMap& map) {
  switch (map.type) {
    case TensorType::u32:
      return ReductionType::u32;
    case TensorType::s32:
      return ReductionType::s32;
    case TensorType::u64:
      return ReductionType::u64;
    case TensorType::s64:
      return ReductionType::s64;
    case TensorType::f16:
      return ReductionType::f16;
    case TensorType::bf16:
      return ReductionType::bf16;
    case TensorType::f32:
    case TensorType::f32_ftz:
      return ReductionType::f32;
    case TensorType::f64:
      return ReductionType::f64;
    default:
      fail("tensor reduction", "the map's element type has no reductions");
  }
}

/// Calls write(global bytes, row bytes, size) for the inside part of every row.
template <typename Write>
std::uint64_t out_rows(const TensorMap& map, std::span<const std::int32_t> coordinates,
                       SharedMemory memory, std::uint32_t shared, GlobalMemory& global,
                       Write write) {
  check_place(map, coordinates, memory, shared);
  std::array<std::byte, kLongestRow> bytes;
  for_rows(map, coordinates, [&](const Row& row) {
    if (row.first == row.last) return;
    for_chunks(map, memory, shared, row, [&](const std::byte* chunk, std::uint32_t i) {
      std::memcpy(bytes.data() + i, chunk, kChunk);
    });
    const std::size_t size = row.last - row.first;
    write(global.at(row.address, size, GlobalMemory::Access::write), bytes.data() + row.first,
          size);
  });
  return box_bytes(map);
}

}  // namespace

std::uint64_t box_bytes(const TensorMap& map) {
  std::uint64_t bytes = inner_bytes(map);
  for (std::size_t i = 1; i < static_cast<std::size_t>(map.rank); ++i) bytes *= count(map, i);
  return bytes;
}

std::uint64_t tensor_load(const TensorMap& map, std::span<const std::int32_t> coordinates,
                          SharedMemory memory, std::uint32_t shared, GlobalMemory& global) {
  check_place(map, coordinates, memory, shared);
  const std::array<std::byte, 8> fill = fill_element(map);
  const auto element = static_cast<std::size_t>(tensor_type_bytes(map.type));
  const bool flushes = map.type == TensorType::f32_ftz || map.type == TensorType::tf32_ftz;
  std::array<std::byte, kLongestRow> outside, bytes;
  for (std::size_t i = 0; i < inner_bytes(map); i += element) {
    std::memcpy(outside.data() + i, fill.data(), element);
  }
  for_rows(map, coordinates, [&](const Row& row) {
    const std::byte* source = outside.data();
    if (row.first != row.last) {
      const std::size_t size = row.last - row.first;
      source = global.at(row.address, size, GlobalMemory::Access::read);
      if (size < inner_bytes(map) || flushes) {
        std::memcpy(bytes.data(), outside.data(), inner_bytes(map));
        std::memcpy(bytes.data() + row.first, source, size);
        if (flushes) flush(bytes.data() + row.first, size);
        source = bytes.data();
      }
    }
    for_chunks(map, memory, shared, row,
               [&](std::byte* chunk, std::uint32_t i) { std::memcpy(chunk, source + i, kChunk); });
  });
  return box_bytes(map);
}

std::uint64_t tensor_store(const TensorMap& map, std::span<const std::int32_t> coordinates,
                           SharedMemory memory, std::uint32_t shared, GlobalMemory& global) {
  return out_rows(map, coordinates, memory, shared, global,
                  [](std::byte* target, const std::byte* source, std::size_t size) {
                    std::memcpy(target, source, size);
                  });
}

std::uint64_t tensor_reduce(const TensorMap& map, Reduction operation,
                            std::span<const std::int32_t> coordinates, SharedMemory memory,
                            std::uint32_t shared, GlobalMemory& global) {
  const ReductionType type = reduction_type_of(map);
  const auto step = static_cast<std::size_t>(reduction_type_bytes(type));
  return out_rows(map, coordinates, memory, shared, global,
                  [&](std::byte* target, const std::byte* source, std::size_t size) {
                    for (std::size_t i = 0; i < size; i += step) {
                      reduce_element(type, operation, target + i, source + i);
                    }
                  });
}

ByteRange shared_range(const TensorMap& map, std::uint32_t shared) {
  const std::uint64_t bytes = box_bytes(map);
  // A swizzle moves chunks within pieces of its span.
  const std::uint64_t span =
      map.swizzle == TensorSwizzle::none ? 1 : std::uint64_t{16} << static_cast<int>(map.swizzle);
  return {shared, shared + (bytes + span - 1) / span * span};
}

std::vector<ByteRange> global_ranges(const TensorMap& map,
                                     std::span<const std::int32_t> coordinates) {
  if (coordinates.size() != static_cast<std::size_t>(map.rank)) {
    fail("tensor copy", "the coordinates do not fit the tensor map's rank");
  }
  std::vector<ByteRange> ranges;
  for_rows(map, coordinates, [&](const Row& row) {
    if (row.first == row.last) return;
    const ByteRange range{row.address, row.address + (row.last - row.first)};
    if (!ranges.empty() && ranges.back().end == range.begin) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
  });
  return ranges;
}

namespace {

void check_bulk(SharedMemory memory, std::uint32_t shared, std::uint64_t other,
                std::uint64_t size) {
  if (shared % 16 != 0 || other % 16 != 0 || size % 16 != 0) {
    fail("bulk copy", "addresses and size must be multiples of 16, not " + std::to_string(shared) +
                          ", " + std::to_string(other) + " and " + std::to_string(size));
  }
  if (!memory.holds(shared, size)) {
    fail("bulk copy", std::to_string(size) + " bytes at shared address " + std::to_string(shared) +
                          " leave the CTA's shared memory");
  }
}

}  // namespace

void bulk_load(SharedMemory memory, std::uint32_t shared, GlobalMemory& global,
               std::uint64_t address, std::uint64_t size) {
  check_bulk(memory, shared, address, size);
  if (size == 0) return;
  std::memcpy(memory.at(shared), global.at(address, size, GlobalMemory::Access::read), size);
}

void bulk_store(SharedMemory memory, std::uint32_t shared, GlobalMemory& global,
                std::uint64_t address, std::uint64_t size) {
  check_bulk(memory, shared, address, size);
  if (size == 0) return;
  std::memcpy(global.at(address, size, GlobalMemory::Access::write), memory.at(shared), size);
}

void bulk_shared(SharedMemory from, std::uint32_t source, SharedMemory to,
                 std::uint32_t destination, std::uint64_t size) {
  check_bulk(from, source, destination, size);
  check_bulk(to, destination, source, size);
  if (size == 0) return;
  std::memmove(to.at(destination), from.at(source), size);
}

void bulk_reduce(ReductionType type, Reduction operation, SharedMemory memory, std::uint32_t shared,
                 GlobalMemory& global, std::uint64_t address, std::uint64_t size) {
  check_bulk(memory, shared, address, size);
  if (size == 0) return;
  std::byte* target = global.at(address, size, GlobalMemory::Access::write);
  const std::byte* source = memory.at(shared);
  const auto step = static_cast<std::size_t>(reduction_type_bytes(type));
  for (std::size_t i = 0; i < size; i += step)
    reduce_element(type, operation, target + i, source + i);
}

}  // namespace karat::ptx::units
