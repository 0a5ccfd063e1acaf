// What an opcode of wgmma.mma_async asks for, and which bytes it reads.
#include <algorithm>
#include <charconv>
#include <string>

#include "units/matrix_types.hpp"
#include "units/opcode.hpp"
#include "units/wgmma.hpp"

namespace karat::ptx::units {
namespace {

constexpr int kDepthBytes = 32;  ///< of K, in every instruction

/// "m64n128k32" -> n and k.
void read_shape(const Opcode& opcode, std::string_view shape, WgmmaOp& op) {
  const auto number = [&](std::string_view text) {
    int value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) opcode.refuse("its shape");
    return value;
  };
  const std::size_t n = shape.find('n'), k = shape.find('k');
  if (!shape.starts_with("m64") || n != 3 || k == std::string_view::npos) {
    opcode.refuse("its shape; M is 64");
  }
  op.n = number(shape.substr(n + 1, k - n - 1));
  op.k = number(shape.substr(k + 1));
}

void check_shape(const Opcode& opcode, const WgmmaOp& op) {
  if (op.k * matrix_type_bytes(op.a) != kDepthBytes) {
    opcode.refuse("k" + std::to_string(op.k) + " of " + std::string(matrix_type_name(op.a)));
  }
  const bool integer = is_integer(op.a);
  const bool steps = op.n % (integer && op.n > 32 ? 16 : 8) == 0;
  if (op.n < 8 || op.n > 256 || !steps) {
    opcode.refuse("n" + std::to_string(op.n) + "; N is a multiple of 8 up to 256" +
                  (integer ? ", of 16 beyond 32" : ""));
  }
}

void check_types(const Opcode& opcode, const WgmmaOp& op) {
  const bool mixed =
      (is_fp8(op.a) && is_fp8(op.b)) ||
      (is_integer(op.a) && is_integer(op.b) && op.a != MatrixType::s32 && op.b != MatrixType::s32);
  const bool input =
      mixed || op.a == MatrixType::f16 || op.a == MatrixType::bf16 || op.a == MatrixType::tf32;
  if (!input || (op.a != op.b && !mixed)) opcode.refuse("this pair of input types");
  const bool f16 = op.accumulator == MatrixType::f16 && (is_fp8(op.a) || op.a == MatrixType::f16);
  const bool right = is_integer(op.a) ? op.accumulator == MatrixType::s32
                                      : op.accumulator == MatrixType::f32 || f16;
  if (!right) opcode.refuse("this accumulator type");
}

void read_immediates(const Opcode& opcode, std::span<const int> immediates, WgmmaOp& op) {
  const bool transposes = op.a == MatrixType::f16 || op.a == MatrixType::bf16;
  const bool in_shared = op.a_source == MatrixSource::shared;
  const std::size_t expected = is_integer(op.a) ? 0 : !transposes ? 2 : in_shared ? 4 : 3;
  if (immediates.size() != expected) {
    opcode.refuse(std::to_string(immediates.size()) + " immediates after scale-d; it takes " +
                  std::to_string(expected));
  }
  const auto sign = [&](int value) {
    if (value != 1 && value != -1) opcode.refuse("imm-scale " + std::to_string(value));
    return value == 1 ? Sign::plus : Sign::minus;
  };
  const auto major = [&](int value) {
    if (value != 0 && value != 1) opcode.refuse("imm-trans " + std::to_string(value));
    return value == 0 ? Major::k : Major::mn;
  };
  if (expected >= 2) {
    op.a_sign = sign(immediates[0]);
    op.b_sign = sign(immediates[1]);
  }
  if (expected == 4) op.a_major = major(immediates[2]);
  if (expected >= 3) op.b_major = major(immediates.back());
}

}  // namespace

WgmmaOp wgmma_op(std::string_view text, MatrixSource a_source, std::span<const int> immediates) {
  Opcode opcode(text);
  if (opcode.base() != "wgmma" || !opcode.take("mma_async")) opcode.refuse("no wgmma.mma_async");
  if (opcode.take("sp")) opcode.refuse("sparse A");
  WgmmaOp op;
  op.a_source = a_source;
  opcode.take("sync");
  opcode.take("aligned");
  if (opcode.take("satfinite")) op.overflow = Overflowing::saturate;
  const auto type = [&] {
    const std::string_view name = opcode.take_last();
    const auto found = matrix_type(name);
    if (!found) opcode.refuse("the type ." + std::string(name));
    return *found;
  };
  op.b = type();
  op.a = type();
  op.accumulator = type();
  read_shape(opcode, opcode.take_first(), op);
  opcode.expect_nothing_left();
  check_types(opcode, op);
  check_shape(opcode, op);
  if (op.overflow == Overflowing::saturate && !is_integer(op.a)) {
    opcode.refuse(".satfinite of floating-point types");
  }
  read_immediates(opcode, immediates, op);
  if (is_integer(op.a)) {
    op.fidelity = Fidelity::definition;
    return op;
  }
  op.row = &numerics::instruction("hopper.wgmma." + std::string(matrix_type_name(op.a)) + "." +
                                  std::string(matrix_type_name(op.accumulator)));
  op.fidelity = op.a == op.b ? fidelity_of(*op.row) : Fidelity::stand_in;
  return op;
}

std::vector<ByteRange> a_ranges(const WgmmaOp& op, std::uint64_t descriptor) {
  if (op.a_source == MatrixSource::registers) return {};
  return matrix_ranges(matrix_descriptor(descriptor), op.a_major, matrix_type_bytes(op.a), 64,
                       op.k);
}

std::vector<ByteRange> b_ranges(const WgmmaOp& op, std::uint64_t descriptor) {
  return matrix_ranges(matrix_descriptor(descriptor), op.b_major, matrix_type_bytes(op.b), op.n,
                       op.k);
}

}  // namespace karat::ptx::units
