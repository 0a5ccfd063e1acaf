// wgmma.mma_async: D = A B + D of a warpgroup, 64 x N x 32 bytes of K, all four warps at once, in
// the arithmetic of the instruction rows of karat/numerics/tensor_core. PTX ISA: "Asynchronous
// Warpgroup Level Matrix Instructions".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "units/lanes.hpp"
#include "units/matrix_descriptor.hpp"

namespace karat::ptx::units {

enum class MatrixType : std::uint8_t { e4m3, e5m2, f16, bf16, tf32, s8, u8, f32, s32 };

enum class MatrixSource : std::uint8_t { shared, registers };
enum class Sign : std::uint8_t { plus, minus };
enum class Overflowing : std::uint8_t { wrap, saturate };

/// What an instruction fixes when a kernel is decoded.
struct WgmmaOp {
  int n = 8;
  int k = 32;  ///< elements
  MatrixType a = MatrixType::e4m3, b = MatrixType::e4m3, accumulator = MatrixType::f32;
  MatrixSource a_source = MatrixSource::shared;
  Major a_major = Major::k, b_major = Major::k;
  Sign a_sign = Sign::plus, b_sign = Sign::plus;
  Overflowing overflow = Overflowing::wrap;
  /// The row that computes it; null for integers.
  const numerics::Instruction* row = nullptr;
  Fidelity fidelity = Fidelity::hardware_rows;

  int d_registers() const { return accumulator == MatrixType::f16 ? n / 4 : n / 2; }  ///< per warp
};

/// @param opcode  "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3", ".satfinite" for s8, u8
/// @param immediates  those after scale-d in the order of the text: imm-scale-a, imm-scale-b, and
///        for f16 and bf16 imm-trans-a (only with A in shared memory), imm-trans-b; empty for s8,
///        u8
/// @throws Error(input_output) naming what is not supported (sparse, b1, shapes PTX lacks)
WgmmaOp wgmma_op(std::string_view opcode, MatrixSource a_source, std::span<const int> immediates);

/// What one instruction of a chain reads. Register i of warp w is the lane array a[w][i], 4 of
/// them, where A lies in registers.
struct WgmmaStep {
  std::array<std::span<const std::uint32_t* const>, 4> a = {};
  std::uint64_t a_descriptor = 0;
  std::uint64_t b_descriptor = 0;
};

/// Register i of warp w of D is the lane array d[w][i].
struct WgmmaOperands {
  std::array<std::span<std::uint32_t* const>, 4> d;
  numerics::Start start = numerics::Start::from_d;  ///< absent: scale-d false
};

/// Runs instructions and remembers packed operands by their bytes: warpgroups that share a tile
/// pack it once. One object per thread.
class Wgmma {
 public:
  struct Limits {
    std::size_t cache_bytes = std::size_t{4} << 20;
  };
  Wgmma();
  explicit Wgmma(Limits);
  ~Wgmma();
  Wgmma(Wgmma&&) noexcept;
  Wgmma& operator=(Wgmma&&) noexcept;

  /// One or more instructions of the same kind that follow each other on the same D (usually all
  /// k-steps of a tile): `start` is the first one's scale-d, the others have it true. The bits are
  /// those of running them one by one; together they cost less, since D is taken from its registers
  /// and written back once.
  /// @throws Error(usage) for register counts that do not fit, what gather_matrix() throws
  void run(const WgmmaOp&, const WgmmaOperands&, std::span<const WgmmaStep> steps, SharedMemory);

  struct Counts {
    std::uint64_t instructions = 0, multiplications = 0, packed = 0, reused = 0;
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The bytes of shared memory the instruction reads: A's (if it lies there), B's.
std::vector<ByteRange> a_ranges(const WgmmaOp&, std::uint64_t descriptor);
std::vector<ByteRange> b_ranges(const WgmmaOp&, std::uint64_t descriptor);

}  // namespace karat::ptx::units
