// ldmatrix, stmatrix, movmatrix.
#include "units/matrix_move.hpp"

#include <array>
#include <cstring>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "units/opcode.hpp"

namespace karat::ptx::units {
namespace {

constexpr int kSide = 8;
constexpr std::size_t kRowBytes = 16;
using Matrix = std::array<std::array<std::uint16_t, kSide>, kSide>;

/// Element `half` (0, 1) of lane l's register.
std::uint16_t& element(Matrix& matrix, Transposition transposition, int lane, int half) {
  const auto major = static_cast<std::size_t>(lane / 4);
  const auto minor = static_cast<std::size_t>(2 * (lane % 4) + half);
  return transposition == Transposition::none ? matrix[major][minor] : matrix[minor][major];
}

std::byte* row_at(const std::uint32_t* addresses, int lane, SharedMemory memory) {
  const std::uint32_t address = addresses[lane];
  const auto fail = [&](const char* problem) {
    throw Error(ErrorKind::usage, "row address of lane " + std::to_string(lane),
                "shared address " + std::to_string(address) + problem);
  };
  if (address % kRowBytes != 0) fail(" is no multiple of 16");
  if (!memory.holds(address, kRowBytes)) fail(" is outside the CTA's shared memory");
  return memory.at(address);
}

void check_count(MatrixMoveOp op, std::size_t registers) {
  if (registers == static_cast<std::size_t>(op.count)) return;
  throw Error(ErrorKind::usage, "ldmatrix or stmatrix .x" + std::to_string(op.count),
              std::to_string(registers) + " registers given");
}

}  // namespace

MatrixMoveOp matrix_move_op(std::string_view text) {
  Opcode opcode(text);
  if (opcode.base() != "ldmatrix" && opcode.base() != "stmatrix") {
    opcode.refuse("neither ldmatrix nor stmatrix");
  }
  MatrixMoveOp op;
  opcode.take("sync");
  opcode.take("aligned");
  if (!opcode.take("m8n8")) opcode.refuse("a shape other than m8n8");
  const std::string_view count = opcode.take_one_of({"x1", "x2", "x4"});
  if (count.empty()) opcode.refuse("a count other than x1, x2 and x4");
  op.count = count[1] - '0';
  if (opcode.take("trans")) op.transposition = Transposition::transposed;
  opcode.take("shared");
  opcode.take("shared::cta");
  if (!opcode.take("b16")) opcode.refuse("elements other than b16");
  opcode.expect_nothing_left();
  return op;
}

void load_matrices(MatrixMoveOp op, const std::uint32_t* addresses, SharedMemory memory,
                   std::span<std::uint32_t* const> d) {
  check_count(op, d.size());
  std::array<Matrix, 4> matrices;  // before any register changes: an address register may be d
  for (int lane = 0; lane < op.count * kSide; ++lane) {
    std::memcpy(
        matrices[static_cast<std::size_t>(lane / kSide)][static_cast<std::size_t>(lane % kSide)]
            .data(),
        row_at(addresses, lane, memory), kRowBytes);
  }
  for (std::size_t i = 0; i < d.size(); ++i) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t low = element(matrices[i], op.transposition, lane, 0);
      const std::uint32_t high = element(matrices[i], op.transposition, lane, 1);
      d[i][lane] = low | high << 16;
    }
  }
}

void store_matrices(MatrixMoveOp op, const std::uint32_t* addresses, SharedMemory memory,
                    std::span<const std::uint32_t* const> values) {
  check_count(op, values.size());
  std::array<std::byte*, kLanes> rows = {};
  for (int lane = 0; lane < op.count * kSide; ++lane) {
    rows[static_cast<std::size_t>(lane)] = row_at(addresses, lane, memory);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    Matrix matrix;
    for (int lane = 0; lane < kLanes; ++lane) {
      element(matrix, op.transposition, lane, 0) = static_cast<std::uint16_t>(values[i][lane]);
      element(matrix, op.transposition, lane, 1) =
          static_cast<std::uint16_t>(values[i][lane] >> 16);
    }
    for (std::size_t row = 0; row < kSide; ++row) {
      std::memcpy(rows[i * kSide + row], matrix[row].data(), kRowBytes);
    }
  }
}

void transpose_matrix(std::uint32_t* d, const std::uint32_t* a) {
  Matrix matrix;
  for (int lane = 0; lane < kLanes; ++lane) {
    element(matrix, Transposition::none, lane, 0) = static_cast<std::uint16_t>(a[lane]);
    element(matrix, Transposition::none, lane, 1) = static_cast<std::uint16_t>(a[lane] >> 16);
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::uint32_t low = element(matrix, Transposition::transposed, lane, 0);
    const std::uint32_t high = element(matrix, Transposition::transposed, lane, 1);
    d[lane] = low | high << 16;
  }
}

}  // namespace karat::ptx::units
