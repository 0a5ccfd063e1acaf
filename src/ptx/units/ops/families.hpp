// Private: the families lane_op() asks in turn. Each takes the opcode by value and returns an
// operation without `run` when the opcode is not its own; it refuses what is its own but unknown.
#pragma once

#include "units/lane_op.hpp"
#include "units/opcode.hpp"

namespace karat::ptx::units {

LaneOp f32_op(Opcode opcode);  ///< add sub mul fma mad min max abs neg copysign of f32
LaneOp f64_op(Opcode opcode);
LaneOp half_op(Opcode opcode);      ///< f16, bf16 and their pairs
LaneOp function_op(Opcode opcode);  ///< rcp sqrt rsqrt ex2 lg2 sin cos tanh div of f32
LaneOp integer_op(Opcode opcode);   ///< add sub mul mad div rem min max abs neg sad ...
LaneOp dot_op(Opcode opcode);       ///< dp4a dp2a
LaneOp bits_op(Opcode opcode);      ///< logic, shifts, mov, selp, slct
LaneOp field_op(Opcode opcode);     ///< bit fields, counts, prmt, bmsk, szext
LaneOp convert_op(Opcode opcode);   ///< cvt, but for f32 to pairs
LaneOp pack_op(Opcode opcode);      ///< cvt to and from pairs, cvt.pack

enum class Flush { no, yes };
enum class Clamp { no, yes };  ///< .sat

}  // namespace karat::ptx::units
