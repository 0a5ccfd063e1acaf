// wgmma.mma_async by packed chains.
#include "units/wgmma.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "units/fragments.hpp"
#include "units/matrix_types.hpp"
#include "units/operand_cache.hpp"

namespace karat::ptx::units {
namespace {

using numerics::ColumnOperand;
using numerics::Instruction;
using numerics::RowOperand;
using numerics::Start;
using Steps = std::span<const WgmmaStep>;

constexpr std::size_t kRows = 64, kWidest = 256, kStepBytes = 32;

/// Integer products are summed in f32, exactly: 255 * 255 * 32 * 8 < 2^24.
constexpr std::size_t kExactSteps = 8;

/// The row that multiplies: integers use fused multiply-adds and add the accumulator themselves.
const Instruction& multiplying_row(const WgmmaOp& op) {
  static const Instruction& exact_products = numerics::instruction("f32.fma");
  return op.row ? *op.row : exact_products;
}

/// Memory of a packed operand, roughly: values twice for B, and exponents.
std::size_t packed_bytes(std::size_t lines, std::size_t k, const Instruction& row) {
  const std::size_t panels = (lines + 63) / 64 * 64;
  const bool wide = row.fraction > 13 && row.arithmetic != numerics::Arithmetic::fused;
  return panels * k * (wide ? 2 * sizeof(double) + 2 : 2 * sizeof(float) + 1);
}

void check_registers(const WgmmaOp& op, const WgmmaOperands& operands, Steps steps) {
  const auto fail = [&](const char* what, std::size_t given, int takes) {
    throw Error(ErrorKind::usage, "wgmma n" + std::to_string(op.n),
                std::string(what) + " has " + std::to_string(given) +
                    " registers a thread where it takes " + std::to_string(takes));
  };
  for (std::size_t w = 0; w < 4; ++w) {
    if (operands.d[w].size() != static_cast<std::size_t>(op.d_registers())) {
      fail("D", operands.d[w].size(), op.d_registers());
    }
    if (op.a_source == MatrixSource::shared) continue;
    for (const WgmmaStep& step : steps) {
      if (step.a[w].size() != 4) fail("A", step.a[w].size(), 4);
    }
  }
}

}  // namespace

struct Wgmma::State {
  explicit State(Limits limits) : a_cache(limits.cache_bytes / 4), b_cache(limits.cache_bytes) {}

  OperandCache<RowOperand> a_cache;
  OperandCache<ColumnOperand> b_cache;
  RowOperand a_registers;
  std::uint64_t instructions = 0, multiplications = 0;
  std::vector<std::byte> a_raw, b_raw;  ///< elements as they lie in K, row after row
  std::vector<float> values;
  std::vector<std::uint32_t> sums;
  std::vector<std::uint16_t> halves;
  alignas(64) float d[kRows * kWidest];

  std::span<float> tile(const WgmmaOp& op) {
    return std::span(d).first(kRows * static_cast<std::size_t>(op.n));
  }

  void gather(const WgmmaOp& op, Steps steps, SharedMemory memory) {
    const std::size_t line = steps.size() * kStepBytes;
    a_raw.resize(kRows * line);
    b_raw.resize(static_cast<std::size_t>(op.n) * line);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      std::byte* a = a_raw.data() + i * kStepBytes;
      if (op.a_source == MatrixSource::registers) {
        bytes_from_registers(steps[i].a, a, line);
      } else {
        gather_matrix(matrix_descriptor(steps[i].a_descriptor), op.a_major, matrix_type_bytes(op.a),
                      kRows, op.k, memory, a, line);
      }
      gather_matrix(matrix_descriptor(steps[i].b_descriptor), op.b_major, matrix_type_bytes(op.b),
                    op.n, op.k, memory, b_raw.data() + i * kStepBytes, line);
    }
  }

  numerics::MatrixView<const float> widened(MatrixType type, Sign sign,
                                            std::span<const std::byte> raw, std::size_t lines) {
    const std::size_t count = raw.size() / static_cast<std::size_t>(matrix_type_bytes(type));
    values.resize(count);
    widen(type, sign, raw.data(), count, values.data());
    return numerics::row_major<const float>(values.data(), lines, count / lines);
  }

  const RowOperand& packed_a(const WgmmaOp& op, const Instruction& row, std::size_t k) {
    const auto pack = [&](RowOperand& operand) {
      operand.pack(row, widened(op.a, op.a_sign, a_raw, kRows));
    };
    if (op.a_source == MatrixSource::registers) {
      pack(a_registers);
      return a_registers;
    }
    return a_cache.get({&row, op.a, op.a_sign, kRows}, a_raw, packed_bytes(kRows, k, row), pack);
  }

  const ColumnOperand& packed_b(const WgmmaOp& op, const Instruction& row, std::size_t k) {
    const auto n = static_cast<std::size_t>(op.n);
    return b_cache.get(
        {&row, op.b, op.b_sign, static_cast<std::uint32_t>(n)}, b_raw, packed_bytes(n, k, row),
        [&](ColumnOperand& operand) { operand.pack(row, widened(op.b, op.b_sign, b_raw, n)); });
  }

  /// d = (d or nothing) + A B^T
  void multiply(const WgmmaOp& op, Start start) {
    const Instruction& row = multiplying_row(op);
    const auto n = static_cast<std::size_t>(op.n);
    const std::size_t k = a_raw.size() / kRows / static_cast<std::size_t>(matrix_type_bytes(op.a));
    if (op.a != op.b && !is_integer(op.a)) {
      multiply_mixed(row, op.a, op.a_sign, a_raw.data(), kRows, op.b, op.b_sign, b_raw.data(), n, k,
                     start, d, n);
      return;
    }
    chain(row, packed_a(op, row, k), packed_b(op, row, k), start, numerics::row_major(d, kRows, n));
  }

  void run_f32(const WgmmaOp& op, const WgmmaOperands& operands) {
    const auto n = static_cast<std::size_t>(op.n);
    auto* words = reinterpret_cast<std::uint32_t*>(d);
    if (operands.start == Start::from_d) words_from_registers(operands.d, op.n, words, n);
    multiply(op, operands.start);
    words_to_registers(words, n, op.n, operands.d);
  }

  void run_f16(const WgmmaOp& op, const WgmmaOperands& operands) {
    const auto n = static_cast<std::size_t>(op.n);
    halves.resize(kRows * n);
    if (operands.start == Start::from_d) {
      halves_from_registers(operands.d, op.n, halves.data(), n);
      numerics::widen_f16(halves, tile(op));
    }
    multiply(op, operands.start);
    numerics::round_to_f16(tile(op), halves);
    halves_to_registers(halves.data(), n, op.n, operands.d);
  }

  void run_s32(const WgmmaOp& op, const WgmmaOperands& operands) {
    const auto n = static_cast<std::size_t>(op.n);
    multiply(op, Start::absent);
    sums.assign(kRows * n, 0);
    if (operands.start == Start::from_d) words_from_registers(operands.d, op.n, sums.data(), n);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i] = accumulate_s32(d[i], sums[i], op.overflow);
    }
    words_to_registers(sums.data(), n, op.n, operands.d);
  }

  void run(const WgmmaOp& op, const WgmmaOperands& operands, Steps steps, SharedMemory memory) {
    gather(op, steps, memory);
    switch (op.accumulator) {
      case MatrixType::f16:
        return run_f16(op, operands);
      case MatrixType::s32:
        return run_s32(op, operands);
      default:
        return run_f32(op, operands);
    }
  }
};

Wgmma::Wgmma() : Wgmma(Limits{}) {}
Wgmma::Wgmma(Limits limits) : state_(std::make_unique<State>(limits)) {}
Wgmma::~Wgmma() = default;
Wgmma::Wgmma(Wgmma&&) noexcept = default;
Wgmma& Wgmma::operator=(Wgmma&&) noexcept = default;

void Wgmma::run(const WgmmaOp& op, const WgmmaOperands& operands, Steps steps,
                SharedMemory memory) {
  check_registers(op, operands, steps);
  State& s = *state_;
  std::size_t at_once = steps.size();
  if (is_integer(op.a)) at_once = op.overflow == Overflowing::saturate ? 1 : kExactSteps;
  WgmmaOperands now = operands;
  for (std::size_t i = 0; i < steps.size(); i += at_once) {
    s.run(op, now, steps.subspan(i, std::min(at_once, steps.size() - i)), memory);
    now.start = Start::from_d;
  }
  s.instructions += steps.size();
  s.multiplications +=
      steps.size() * kRows * static_cast<std::uint64_t>(op.n) * static_cast<std::uint64_t>(op.k);
}

Wgmma::Counts Wgmma::counts() const {
  const State& s = *state_;
  return {.instructions = s.instructions,
          .multiplications = s.multiplications,
          .packed = s.a_cache.packed() + s.b_cache.packed(),
          .reused = s.a_cache.reused() + s.b_cache.reused()};
}

}  // namespace karat::ptx::units
