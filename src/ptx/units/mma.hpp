// mma.sync: D = A B + C of a warp. PTX ISA: "Warp Level Matrix Instructions", fragments "for mma
// with floating point / integer type".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "units/wgmma.hpp"

namespace karat::ptx::units {

struct MmaOp {
  int m = 16, n = 8, k = 16;
  MatrixType a = MatrixType::f16, b = MatrixType::f16, accumulator = MatrixType::f32;
  Overflowing overflow = Overflowing::wrap;
  const numerics::Instruction* row = nullptr;  ///< null for integers
  Fidelity fidelity = Fidelity::hardware_rows;
  int a_registers = 4, b_registers = 2, c_registers = 4;  ///< C and D alike
};

/// @param opcode  "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
/// @param architecture  of the .target: 80 to 88 take Ampere's rows, 89 Ada's, 90 to 99 Hopper's
/// Shapes: f16 and bf16 m16n8k16, m16n8k8 (taken as the same sum with zeros behind: a stand-in);
/// e4m3, e5m2 m16n8k32 (mixed too); s8, u8 m16n8k32, m16n8k16.
/// @throws Error(input_output) naming what has no row of captured or modelled arithmetic (tf32,
/// f64,
///         sparse, sub-byte forms, other architectures)
MmaOp mma_op(std::string_view opcode, int architecture);

/// Runs mma instructions; the object keeps memory between them. One per thread.
class Mma {
 public:
  Mma();
  ~Mma();
  Mma(Mma&&) noexcept;
  Mma& operator=(Mma&&) noexcept;
  /// Registers are lane arrays. d may be c.
  /// @throws Error(usage) for register counts that do not fit
  void run(const MmaOp&, std::span<std::uint32_t* const> d, std::span<const std::uint32_t* const> a,
           std::span<const std::uint32_t* const> b, std::span<const std::uint32_t* const> c);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::ptx::units
