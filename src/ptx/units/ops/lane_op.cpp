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

bool any_of(const Opcode& opcode, std::initializer_list<std::string_view> names) {
  return std::ranges::any_of(opcode.parts(), [&](std::string_view part) {
    return std::find(names.begin(), names.end(), part) != names.end();
  });
}
bool has(const Opcode& opcode, std::string_view part) { return any_of(opcode, {part}); }

/// What ptxas demands of qualifiers beyond what the families look at.
void require_form(const Opcode& opcode) {
  if (opcode.parts().empty()) return;
  const std::string_view base = opcode.base(), type = opcode.parts().back();
  const bool brain = type == "bf16" || type == "bf16x2";
  const bool half = brain || type == "f16" || type == "f16x2";
  const bool real = half || type == "f32" || type == "f64";
  const bool sum = base == "add" || base == "sub" || base == "mul";
  const bool rounds = any_of(opcode, {"rn", "rz", "rm", "rp", "approx", "full"});
  if (real &&
      (base == "fma" || base == "mad" || base == "div" || base == "rcp" || base == "sqrt") &&
      !rounds)
    opcode.refuse("a rounding is missing");
  if (half && sum && has(opcode, "relu")) opcode.refuse("the part .relu");
  if (brain && (sum || base == "fma" || base == "min" || base == "max") &&
      any_of(opcode, {"sat", "ftz"}))
    opcode.refuse("bf16 is neither flushed nor clamped");
  if ((base == "abs" || base == "neg") && type.starts_with('u'))
    opcode.refuse("numbers without sign");
}

}  // namespace

bool is_lane_op(std::string_view text) {
  return std::binary_search(std::begin(kBases), std::end(kBases), text.substr(0, text.find('.')));
}

LaneOp lane_op(std::string_view text) {
  const Opcode opcode(text);
  require_form(opcode);
  for (const auto family : {function_op, f32_op, f64_op, half_op, bits_op, field_op, dot_op,
                            pack_op, convert_op, integer_op}) {
    if (const LaneOp op = family(opcode); op.run) return op;
  }
  opcode.refuse("no such arithmetic");
}

}  // namespace karat::ptx::units
