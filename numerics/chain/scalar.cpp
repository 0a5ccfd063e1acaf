// Chains by the scalar definition, from the operands as the fast kernels hold them.
#include <bit>
#include <cmath>
#include <vector>

#include "karat/numerics/chain/kernels.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/numerics/tensor_core/step.hpp"

namespace karat::numerics {
namespace {

std::uint32_t accumulator_bits(const Instruction& row, float x) {
  switch (row.accumulator) {
    case FormatId::f16: return encode(x, FormatId::f16, {.overflow = Overflow::infinity});
    case FormatId::int32: return encode(x, FormatId::int32);
    default: return std::bit_cast<std::uint32_t>(x);
  }
}

float accumulator_value(const Instruction& row, std::uint32_t bits) {
  if (row.accumulator == FormatId::f32) return std::bit_cast<float>(bits);
  const float x = decode(bits, row.accumulator);
  return std::isnan(x) ? std::bit_cast<float>(nan_word(FormatId::f32)) : x;
}

constexpr Policy kExact{.rounding = Rounding::toward_zero, .overflow = Overflow::infinity};

Factor factor_of(const RowOperand::Packed& p, float x) {
  return row_factor(*p.instruction, encode(x, p.instruction->input, kExact));
}
Factor factor_of(const ColumnOperand::Packed& p, float x) {
  return column_factor(*p.instruction, encode(x, column_format(*p.instruction), kExact));
}

/// Factors of one row or column in the order of k.
template <typename Packed>
void gather(const Packed& p, std::size_t index, std::vector<Factor>& factors) {
  std::vector<float> values(p.padded);
  p.unpack(index, values.data());
  factors.resize(p.k);
  for (std::size_t k = 0; k < p.k; ++k) {
    factors[k] = factor_of(p, values[chain_position(*p.instruction, k)]);
  }
}

}  // namespace

void run_scalar(const RowOperand::Packed& a, const ColumnOperand::Packed& b, std::size_t row,
                  std::size_t rows, std::size_t column, std::size_t columns, Start start,
                  MatrixView<float> d) {
  const Instruction& instruction = *a.instruction;
  std::vector<std::vector<Factor>> y(columns);
  for (std::size_t j = 0; j < columns; ++j) gather(b, column + j, y[j]);
  std::vector<Factor> x;
  for (std::size_t i = row; i < row + rows; ++i) {
    gather(a, i, x);
    for (std::size_t j = 0; j < columns; ++j) {
      float& place = d(i, column + j);
      const std::uint32_t c =
          start == Start::absent ? 0 : accumulator_bits(instruction, place);
      place = accumulator_value(instruction, chain_factors(instruction, x, y[j], c));
    }
  }
}

}  // namespace karat::numerics
