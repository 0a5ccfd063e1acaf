// Which family an opcode belongs to.
#include "units/lane_op.hpp"

#include <algorithm>

#include "units/ops/families.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::string_view kBases[] = {
    "abs",      "add",   "and",  "bfe",  "bfind", "bmsk",  "brev",  "clz",  "cnot",
    "copysign", "cos",   "cvt",  "div",  "dp2a",  "dp4a",  "ex2",   "fma",  "lg2",
    "mad",      "mad24", "max",  "min",  "mov",   "mul",   "mul24", "neg",  "not",
    "or",       "popc",  "prmt", "rcp",  "rem",   "rsqrt", "sad",   "selp", "shf",
    "shl",      "shr",   "sin",  "slct", "sqrt",  "sub",   "szext", "tanh", "xor"};

}  // namespace

bool is_lane_op(std::string_view text) {
  return std::binary_search(std::begin(kBases), std::end(kBases), text.substr(0, text.find('.')));
}

LaneOp lane_op(std::string_view text) {
  const Opcode opcode(text);
  for (const auto family : {function_op, f32_op, f64_op, half_op, bits_op, field_op, dot_op,
                            pack_op, convert_op, integer_op}) {
    if (const LaneOp op = family(opcode); op.run) return op;
  }
  opcode.refuse("no such arithmetic");
}

}  // namespace karat::ptx::units
