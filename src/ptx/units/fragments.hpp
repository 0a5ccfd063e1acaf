// Private: registers of a warpgroup as the rows of the tiles they hold. PTX ISA: "Register
// Fragments" of wgmma.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "units/lanes.hpp"

namespace karat::ptx::units {

using WarpRegisters = std::array<std::span<std::uint32_t* const>, 4>;
using ConstWarpRegisters = std::array<std::span<const std::uint32_t* const>, 4>;

/// Words of D, 64 x n row-major with `stride` words a row, from registers and back. Register i of
/// warp w, lane l: row 16w + l/4 + 8 * ((i / 2) % 2), column 8 * (i / 4) + 2 * (l % 4) + i % 2.
void words_from_registers(const WarpRegisters& registers, int n, std::uint32_t* tile,
                          std::size_t stride);
void words_to_registers(const std::uint32_t* tile, std::size_t stride, int n,
                        const WarpRegisters& registers);

/// The same for 16-bit D: register i holds columns 8 * (i / 2) + 2 * (l % 4), + 1 of row
/// 16w + l/4 + 8 * (i % 2), low half first.
void halves_from_registers(const WarpRegisters& registers, int n, std::uint16_t* tile,
                           std::size_t stride);
void halves_to_registers(const std::uint16_t* tile, std::size_t stride, int n,
                         const WarpRegisters& registers);

/// A: 64 rows of 32 bytes, `line` bytes apart. Lane l of register 0 holds bytes 4 * (l % 4) to + 3
/// of row 16w + l/4; register 1 row + 8; register 2 bytes + 16; register 3 both. The same for every
/// element size.
void bytes_from_registers(const ConstWarpRegisters& registers, std::byte* tile, std::size_t line);

}  // namespace karat::ptx::units
