// Taps: values inside a kernel, as the stages of golden files name them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::ptx {

/// Which row and column of a tile a thread's elements are. Elements are counted through the
/// registers in order, within a register from its low end; tiles of warps stand one below the
/// other. Lane l, element i:
enum class TapLayout : std::uint8_t {
  /// An accumulator of wgmma or mma: row 16 w + l / 4 + 8 (i / 2 % 2), column 8 (i / 4) + 2 (l % 4)
  /// + i % 2.
  accumulator,
  /// A of wgmma in registers, four of them a step of 32 bytes: with b bytes an element and n = 4 /
  /// b
  /// a register, register r of the step: row 16 w + l / 4 + 8 (r % 2), byte of the row 32 step + 16
  /// (r / 2) + 4 (l % 4).
  operand,
  /// A value of each row, element 0 of row 16 w + l / 4, element 1 of that plus 8; lanes of a quad
  /// hold the same.
  rows,
  /// Row 32 w + l, column i.
  lanes,
};

/// What happens when a warp comes to the line again.
enum class TapVisits : std::uint8_t {
  columns,  ///< its tile stands to the right of the one before: [rows, visits * columns]
  stacked,  ///< it stands behind it: [visits, rows, columns], of TapLayout::rows [visits, rows]
  last,     ///< it takes its place: [rows, columns] or [rows]
};

/// Bytes of shared memory, row-major.
struct TapMemory {
  std::uint32_t address = 0;  ///< a shared address; dynamic shared memory begins at 1024 or more
  std::uint64_t rows = 1, columns = 1;
  std::string swizzle = "none";  ///< of rows as wide as its span: "none", "32B", "64B", "128B"
};

/// The values that registers, or bytes of shared memory, have just before the instruction at a line
/// runs.
struct Tap {
  std::string stage;  ///< the output's name; {x}, {y}, {z} become the CTA's position
  std::uint32_t line = 0;
  files::DType dtype = files::DType::f32;
  std::vector<std::string> registers;  ///< empty: memory
  TapMemory memory;
  TapLayout layout = TapLayout::accumulator;
  TapVisits visits = TapVisits::columns;
  std::uint32_t first_warp = 0;
  std::uint32_t warps = 0;  ///< 0: all from first_warp; of memory the first one alone looks
  /// Positions of CTAs, all if empty.
  std::vector<std::vector<std::uint32_t>> ctas;
};

}  // namespace karat::ptx
