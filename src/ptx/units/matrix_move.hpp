// ldmatrix, stmatrix, movmatrix of 8 x 8 matrices of 16-bit elements. PTX ISA: "ldmatrix",
// "stmatrix", "movmatrix".
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "units/lanes.hpp"

namespace karat::ptx::units {

enum class Transposition : std::uint8_t { none, transposed };

struct MatrixMoveOp {
  int count = 1;  ///< matrices: 1, 2, 4
  Transposition transposition = Transposition::none;
};
/// @param opcode  "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", stmatrix likewise
/// @throws Error(input_output) for b8 and the m16n16, m8n16 shapes
MatrixMoveOp matrix_move_op(std::string_view opcode);

/// Matrix i takes its 8 row addresses (16 bytes each, 16-byte aligned shared addresses) from lanes
/// 8i to 8i + 7 of `addresses`. Register i of lane l holds row l/4, columns 2 * (l % 4) and + 1;
/// transposed, rows 2 * (l % 4) and + 1 of column l/4.
/// @throws Error(usage) naming the lane whose address is unaligned or outside
void load_matrices(MatrixMoveOp, const std::uint32_t* addresses, SharedMemory memory,
                   std::span<std::uint32_t* const> d);
void store_matrices(MatrixMoveOp, const std::uint32_t* addresses, SharedMemory memory,
                    std::span<const std::uint32_t* const> values);
/// movmatrix.sync.aligned.m8n8.trans.b16
void transpose_matrix(std::uint32_t* d, const std::uint32_t* a);

}  // namespace karat::ptx::units
