// Private: what wgmma and mma share: element types by name, raw bytes to f32 values, the slow exact
// product of operands in two different 8-bit formats.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "units/wgmma.hpp"

namespace karat::ptx::units {

std::optional<MatrixType> matrix_type(std::string_view name);
std::string_view matrix_type_name(MatrixType);
int matrix_type_bytes(MatrixType);
bool is_integer(MatrixType);
bool is_fp8(MatrixType);
Fidelity fidelity_of(const numerics::Instruction&);

/// Exact values of `count` elements (tf32 after its low 13 bits are cut), negated if asked.
void widen(MatrixType, Sign, const std::byte* raw, std::size_t count, float* values);

/// d[i][j] = c + sum of a[i][k] b[j][k] in int32: wrapping, or the exact sum clamped.
/// `product` holds the exact sums of products in f32.
std::uint32_t accumulate_s32(float product, std::uint32_t c, Overflowing);

/// d = chain of (start or nothing) + A B^T with each factor taken apart by its own format: FP8
/// operands of two kinds. Written to be right, not fast.
void multiply_mixed(const numerics::Instruction& row, MatrixType a_type, Sign a_sign,
                    const std::byte* a, std::size_t rows, MatrixType b_type, Sign b_sign,
                    const std::byte* b, std::size_t columns, std::size_t depth,
                    numerics::Start start, float* d, std::size_t stride);

}  // namespace karat::ptx::units
