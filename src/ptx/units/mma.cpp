// mma.sync by packed chains. The fragments are those of wgmma for one warp: four lanes of a
// register hold 16 bytes of a row of A, or of a column of B.
#include "units/mma.hpp"

#include <cstring>
#include <string>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "units/matrix_types.hpp"
#include "units/opcode.hpp"

namespace karat::ptx::units {
namespace {

using numerics::Start;

constexpr std::size_t kRows = 16, kColumns = 8, kQuads = 8, kQuadBytes = 16;

std::string generation(const Opcode& opcode, int architecture) {
  if (architecture >= 80 && architecture < 89) return "ampere";
  if (architecture == 89) return "ada";
  if (architecture >= 90 && architecture < 100) return "hopper";
  opcode.refuse("no captured arithmetic of mma.sync for sm_" + std::to_string(architecture));
}

const numerics::Instruction& row_named(const Opcode& opcode, const std::string& name) {
  for (const numerics::Instruction& row : numerics::instructions()) {
    if (row.name == name) return row;
  }
  opcode.refuse("the instruction table has no row " + name);
}

/// Fragments in 16-byte lines: rows r and r + 8 of A in turn, then the next 16 bytes of K.
void lines_from_registers(std::span<const std::uint32_t* const> registers, std::size_t rows,
                          std::size_t depth_bytes, std::byte* tile) {
  const std::size_t blocks = rows / kQuads;
  for (std::size_t i = 0; i < registers.size(); ++i) {
    for (std::size_t quad = 0; quad < kQuads; ++quad) {
      const std::size_t row = i % blocks * kQuads + quad;
      std::memcpy(tile + row * depth_bytes + i / blocks * kQuadBytes, registers[i] + 4 * quad,
                  kQuadBytes);
    }
  }
}

/// Row and column of element e of lane l's D, register i: f32 and s32 hold one, f16 two (e = 0, 1).
struct Place {
  std::size_t row, column;
};
Place word_place(std::size_t i, std::size_t lane) {
  return {lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2};
}
Place half_place(std::size_t i, std::size_t lane, std::size_t e) {
  return {lane / 4 + 8 * i, 2 * (lane % 4) + e};
}

}  // namespace

MmaOp mma_op(std::string_view text, int architecture) {
  Opcode opcode(text);
  if (opcode.base() != "mma") opcode.refuse("no mma");
  for (const char* part : {"sp", "sp::ordered_metadata"}) {
    if (opcode.take(part)) opcode.refuse("sparse A");
  }
  MmaOp op;
  opcode.take("sync");
  opcode.take("aligned");
  if (opcode.take("satfinite")) op.overflow = Overflowing::saturate;
  const auto type = [&] {
    const std::string_view name = opcode.take_last();
    const auto found = matrix_type(name);
    if (!found) opcode.refuse("the type ." + std::string(name));
    return *found;
  };
  const MatrixType c = type();
  op.b = type();
  op.a = type();
  op.accumulator = type();
  if (c != op.accumulator) opcode.refuse("C and D of different types");
  const std::string_view shape = opcode.take_first();
  if (!opcode.take("row") || !opcode.take("col")) opcode.refuse("layouts other than .row.col");
  opcode.expect_nothing_left();

  const bool integer = is_integer(op.a) && op.a != MatrixType::s32;
  const int bytes = matrix_type_bytes(op.a);
  if (shape == "m16n8k8")
    op.k = 8;
  else if (shape == "m16n8k16")
    op.k = 16;
  else if (shape == "m16n8k32")
    op.k = 32;
  else
    opcode.refuse("the shape " + std::string(shape));
  const int depth = op.k * bytes;
  const bool half_depth = depth == 16 && !is_fp8(op.a);
  if (bytes == 4 || (depth != 32 && !half_depth)) {
    opcode.refuse("no row for k" + std::to_string(op.k) + " of " +
                  std::string(matrix_type_name(op.a)));
  }
  const bool mixed =
      (is_fp8(op.a) && is_fp8(op.b)) || (integer && is_integer(op.b) && op.b != MatrixType::s32);
  if (op.a != op.b && !mixed) opcode.refuse("this pair of input types");
  op.a_registers = depth / 8;
  op.b_registers = depth / 16;
  op.c_registers = op.accumulator == MatrixType::f16 ? 2 : 4;
  if (integer) {
    if (op.accumulator != MatrixType::s32) opcode.refuse("this accumulator type");
    op.fidelity = Fidelity::definition;
    return op;
  }
  if (op.overflow == Overflowing::saturate) opcode.refuse(".satfinite of floating-point types");
  op.row = &row_named(opcode, generation(opcode, architecture) + ".mma." +
                                  std::string(matrix_type_name(op.a)) + "." +
                                  std::string(matrix_type_name(op.accumulator)));
  op.fidelity = op.a == op.b && depth == 32 ? fidelity_of(*op.row) : Fidelity::stand_in;
  return op;
}

struct Mma::State {
  numerics::RowOperand a;
  numerics::ColumnOperand b;
  std::byte a_raw[kRows * 32], b_raw[kColumns * 32];
  float a_values[kRows * 32], b_values[kColumns * 32];
  float d[kRows * kColumns];

  void multiply(const MmaOp& op) {
    const auto k = static_cast<std::size_t>(op.k);
    if (op.a != op.b) {
      multiply_mixed(*op.row, op.a, Sign::plus, a_raw, kRows, op.b, Sign::plus, b_raw, kColumns, k,
                     Start::from_d, d, kColumns);
      return;
    }
    a.pack(*op.row, numerics::row_major<const float>(a_values, kRows, k));
    b.pack(*op.row, numerics::row_major<const float>(b_values, kColumns, k));
    chain(*op.row, a, b, Start::from_d, numerics::row_major(d, kRows, kColumns));
  }

  std::uint32_t integer(const MmaOp& op, Place at, std::uint32_t c) const {
    const auto k = static_cast<std::size_t>(op.k);
    float sum = 0;  // exact: 32 products of 8-bit factors are below 2^21
    for (std::size_t i = 0; i < k; ++i) {
      sum += a_values[at.row * k + i] * b_values[at.column * k + i];
    }
    return accumulate_s32(sum, c, op.overflow);
  }
};

Mma::Mma() : state_(std::make_unique<State>()) {}
Mma::~Mma() = default;
Mma::Mma(Mma&&) noexcept = default;
Mma& Mma::operator=(Mma&&) noexcept = default;

void Mma::run(const MmaOp& op, std::span<std::uint32_t* const> d,
              std::span<const std::uint32_t* const> a, std::span<const std::uint32_t* const> b,
              std::span<const std::uint32_t* const> c) {
  const auto fits = [](std::size_t given, int takes) {
    return given == static_cast<std::size_t>(takes);
  };
  if (!fits(d.size(), op.c_registers) || !fits(c.size(), op.c_registers) ||
      !fits(a.size(), op.a_registers) || !fits(b.size(), op.b_registers)) {
    throw Error(ErrorKind::usage, "mma m16n8k" + std::to_string(op.k),
                "it takes " + std::to_string(op.a_registers) + " registers for A, " +
                    std::to_string(op.b_registers) + " for B, " + std::to_string(op.c_registers) +
                    " for C and D");
  }
  State& s = *state_;
  const auto k = static_cast<std::size_t>(op.k);
  const std::size_t depth_bytes = k * static_cast<std::size_t>(matrix_type_bytes(op.a));
  lines_from_registers(a, kRows, depth_bytes, s.a_raw);
  lines_from_registers(b, kColumns, depth_bytes, s.b_raw);
  widen(op.a, Sign::plus, s.a_raw, kRows * k, s.a_values);
  widen(op.b, Sign::plus, s.b_raw, kColumns * k, s.b_values);
  if (op.accumulator == MatrixType::s32) {
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        d[i][lane] = s.integer(op, word_place(i, lane), c[i][lane]);
      }
    }
    return;
  }
  if (op.accumulator == MatrixType::f16) {
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        for (std::size_t e = 0; e < 2; ++e) {
          const Place at = half_place(i, lane, e);
          s.d[at.row * kColumns + at.column] =
              numerics::decode((c[i][lane] >> (16 * e)) & 0xFFFF, numerics::FormatId::f16);
        }
      }
    }
    s.multiply(op);
    std::uint16_t codes[kRows * kColumns];
    numerics::round_to_f16(s.d, codes);
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const Place at = half_place(i, lane, 0);
        std::memcpy(&d[i][lane], &codes[at.row * kColumns + at.column], 4);
      }
    }
    return;
  }
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const Place at = word_place(i, lane);
      std::memcpy(&s.d[at.row * kColumns + at.column], &c[i][lane], 4);
    }
  }
  s.multiply(op);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const Place at = word_place(i, lane);
      std::memcpy(&d[i][lane], &s.d[at.row * kColumns + at.column], 4);
    }
  }
}

}  // namespace karat::ptx::units
