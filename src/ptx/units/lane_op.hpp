// Arithmetic of one lane after the other: every PTX instruction that maps up to three operands of
// a lane to one result of that lane. An opcode is looked up once, when a kernel is decoded.
//
// Families: add sub mul mul24 mad mad24 fma div rem abs neg min max sad and or xor not cnot lop3
// shl shr shf bfe bfi bfind brev popc clz prmt dp2a dp4a mul.hi mul.wide mad.wide, rcp sqrt rsqrt
// ex2 lg2 sin cos tanh copysign testp (as a comparison), cvt, cvt.pack, mov and selp (whose third
// operand is 0 in the lanes that take the second), slct, szext, bmsk; types u8 to u64, b8 to b64,
// f16, f16x2, bf16, bf16x2, f32, f64, tf32, e4m3x2, e5m2x2 as PTX has them.
#pragma once

#include <cstdint>
#include <string_view>

#include "units/lanes.hpp"

namespace karat::ptx::units {

/// Operands and result are arrays over lanes, see lanes.hpp. run() computes all 32 lanes, whatever
/// they hold, and raises nothing: merging under a mask is the caller's. `d` may be one of the
/// operands where their widths agree. Absent operands are ignored and may be null.
struct LaneOp {
  using Run = void (*)(void* d, const void* a, const void* b, const void* c);
  Run run = nullptr;
  std::uint8_t operands = 0;                 ///< 1 to 3 register operands, immediates included
  std::uint8_t result_bits = 32;             ///< element of d: 32 or 64
  std::uint8_t operand_bits[3] = {0, 0, 0};  ///< elements of a, b, c: 32, 64, or 0 where absent
  Fidelity fidelity = Fidelity::definition;
};

/// @param opcode  without predicate and operands: "fma.rn.ftz.f32", "mul.hi.s32",
///                "cvt.rn.satfinite.e4m3x2.f32", "ex2.approx.ftz.f32"
///
/// Immediates are operands like others, broadcast by the caller; floating-point ones as their bits.
/// lop3 and bfi take four and have functions of their own below. 8-bit results are extended by
/// their sign (or zeros) to 16 bits, the narrowest register.
///
/// Results (the PTX ISA, sections "Floating Point Instructions", "Integer Arithmetic
/// Instructions", "Logic and Shift Instructions", "Data Movement and Conversion Instructions"):
/// f32 without a rounding modifier is nearest even; NaN results of f32 arithmetic are 0x7FFFFFFF,
/// of f16 and bf16 0x7FFF, of f64 0xFFF8000000000000; .ftz flushes f32 inputs and result to zeros
/// of their sign; .sat clamps to [0, 1], NaN to +0. Approximate functions: tables of
/// karat/numerics/functions/mufu and the scalings ptxas puts around them.
/// @throws Error(input_output) "opcode: not supported; ..." for an opcode this table lacks
LaneOp lane_op(std::string_view opcode);

/// Whether lane_op() knows the family (the part before the first dot).
bool is_lane_op(std::string_view opcode);

/// A comparison: setp, testp. Bit l of the result is lane l's; operands as in lane_op().
struct CompareOp {
  using Run = std::uint32_t (*)(const void* a, const void* b);
  Run run = nullptr;
  std::uint8_t operands = 2;
  std::uint8_t operand_bits = 32;
};

/// @param opcode  "setp.lt.s32", "setp.neu.ftz.f32", "setp.lt.and.f32" (the boolean part is left to
///                the caller: p = run OP c, q = ~run OP c), "testp.finite.f32".
/// f16x2 comparisons are refused (two predicates).
/// @throws Error(input_output) likewise
CompareOp compare_op(std::string_view opcode);

/// Four operands: d = lop3(a, b, c, lut); d = bfi(a, b, c, length) inserts the low `length` bits of
/// a into b at bit c, position and length cut to 8 bits.
void lop3_run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
              const std::uint32_t* c, std::uint32_t lut);
void bfi32_run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
               const std::uint32_t* position, const std::uint32_t* length);
void bfi64_run(std::uint64_t* d, const std::uint64_t* a, const std::uint64_t* b,
               const std::uint32_t* position, const std::uint32_t* length);

}  // namespace karat::ptx::units
