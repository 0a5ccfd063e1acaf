// Element types of matrix instructions.
#include "units/matrix_types.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/step.hpp"

namespace karat::ptx::units {
namespace {

using numerics::Factor;
using numerics::FormatId;

constexpr std::string_view kNames[] = {"e4m3", "e5m2", "f16", "bf16", "tf32",
                                       "s8",   "u8",   "f32", "s32"};

FormatId format_of(MatrixType type) {
  switch (type) {
    case MatrixType::e4m3:
      return FormatId::e4m3;
    case MatrixType::e5m2:
      return FormatId::e5m2;
    case MatrixType::f16:
      return FormatId::f16;
    case MatrixType::bf16:
      return FormatId::bf16;
    default:
      return FormatId::f32;
  }
}

std::uint32_t accumulator_bits(FormatId accumulator, float x) {
  return accumulator == FormatId::f32 ? std::bit_cast<std::uint32_t>(x)
                                      : numerics::encode(x, accumulator, numerics::kAsComputed);
}

float accumulator_value(FormatId accumulator, std::uint32_t bits) {
  if (accumulator == FormatId::f32 || bits == numerics::nan_word(accumulator)) {
    return std::bit_cast<float>(bits == numerics::nan_word(accumulator) ? 0x7FFFFFFFu : bits);
  }
  return numerics::decode(bits, accumulator);
}

template <typename T>
void widen_integers(const std::byte* raw, std::size_t count, float* values) {
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(static_cast<T>(raw[i]));
}

}  // namespace

std::optional<MatrixType> matrix_type(std::string_view name) {
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<MatrixType>(found - std::begin(kNames));
}

std::string_view matrix_type_name(MatrixType type) { return kNames[static_cast<int>(type)]; }

int matrix_type_bytes(MatrixType type) {
  switch (type) {
    case MatrixType::e4m3:
    case MatrixType::e5m2:
    case MatrixType::s8:
    case MatrixType::u8:
      return 1;
    case MatrixType::f16:
    case MatrixType::bf16:
      return 2;
    default:
      return 4;
  }
}

bool is_integer(MatrixType type) {
  return type == MatrixType::s8 || type == MatrixType::u8 || type == MatrixType::s32;
}

bool is_fp8(MatrixType type) { return type == MatrixType::e4m3 || type == MatrixType::e5m2; }

Fidelity fidelity_of(const numerics::Instruction& row) {
  switch (row.evidence) {
    case numerics::Evidence::hardware_rows:
      return Fidelity::hardware_rows;
    case numerics::Evidence::model_only:
      return Fidelity::stand_in;
    case numerics::Evidence::definition:
      return Fidelity::definition;
  }
  return Fidelity::stand_in;
}

void widen(MatrixType type, Sign sign, const std::byte* raw, std::size_t count, float* values) {
  switch (type) {
    case MatrixType::e4m3:
    case MatrixType::e5m2:
      numerics::decode(std::span(reinterpret_cast<const std::uint8_t*>(raw), count),
                       std::span(values, count), format_of(type));
      break;
    case MatrixType::f16:
    case MatrixType::bf16: {
      std::vector<std::uint16_t> codes(count);
      std::memcpy(codes.data(), raw, count * 2);
      numerics::decode(codes, std::span(values, count), format_of(type));
      break;
    }
    case MatrixType::s8:
      widen_integers<std::int8_t>(raw, count, values);
      break;
    case MatrixType::u8:
      widen_integers<std::uint8_t>(raw, count, values);
      break;
    default:
      for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t word;
        std::memcpy(&word, raw + 4 * i, 4);
        if (type == MatrixType::tf32) word &= 0xFFFFE000u;
        values[i] = std::bit_cast<float>(word);
      }
  }
  if (sign == Sign::minus) {
    for (std::size_t i = 0; i < count; ++i) values[i] = -values[i];
  }
}

std::uint32_t accumulate_s32(float product, std::uint32_t c, Overflowing overflow) {
  using Limits = std::numeric_limits<std::int32_t>;
  const std::int64_t sum =
      std::int64_t{static_cast<std::int32_t>(c)} + static_cast<std::int64_t>(product);
  if (overflow == Overflowing::wrap) return static_cast<std::uint32_t>(sum);
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(sum, Limits::min(), Limits::max()));
}

void multiply_mixed(const numerics::Instruction& row, MatrixType a_type, Sign a_sign,
                    const std::byte* a, std::size_t rows, MatrixType b_type, Sign b_sign,
                    const std::byte* b, std::size_t columns, std::size_t depth,
                    numerics::Start start, float* d, std::size_t stride) {
  const auto factors = [depth, &row](MatrixType type, Sign sign, const std::byte* line) {
    std::vector<Factor> taken(depth);
    for (std::size_t k = 0; k < depth; ++k) {
      const auto code = static_cast<std::uint32_t>(line[k]);
      if (row.multiplied == FormatId::f16) {  // the emulated rows convert first, exactly
        const float value = numerics::decode(code, format_of(type));
        taken[k] = numerics::take_apart(
            numerics::encode(value, FormatId::f16, numerics::kAsComputed), FormatId::f16);
      } else {
        taken[k] = numerics::take_apart(code, format_of(type));
      }
      if (sign == Sign::minus) taken[k].negative = !taken[k].negative;
    }
    return taken;
  };
  std::vector<std::vector<Factor>> x, y;
  for (std::size_t i = 0; i < rows; ++i) x.push_back(factors(a_type, a_sign, a + i * depth));
  for (std::size_t j = 0; j < columns; ++j) y.push_back(factors(b_type, b_sign, b + j * depth));
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      float& place = d[i * stride + j];
      const std::uint32_t c =
          start == numerics::Start::absent ? 0 : accumulator_bits(row.accumulator, place);
      place = accumulator_value(row.accumulator, numerics::chain_factors(row, x[i], y[j], c));
    }
  }
}

}  // namespace karat::ptx::units
