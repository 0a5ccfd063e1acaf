// setp, and and, or, xor, not of predicates.
#include "execute/state.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"

namespace karat::ptx {
namespace {

enum class Logic : std::int64_t { first, bit_and, bit_or, bit_xor };

std::uint32_t combine(Logic logic, std::uint32_t a, std::uint32_t b) {
  switch (logic) {
    case Logic::first:
      return a;
    case Logic::bit_and:
      return a & b;
    case Logic::bit_or:
      return a | b;
    case Logic::bit_xor:
      return a ^ b;
  }
  return a;
}

Logic logic_named(std::string_view name) {
  return name == "and"   ? Logic::bit_and
         : name == "or"  ? Logic::bit_or
         : name == "xor" ? Logic::bit_xor
                         : Logic::first;
}

/// p|q of setp, and a predicate to combine with.
struct Compared {
  Place q = kNowhere, with = kNowhere;
};

Step run_compare(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t bits = op.compare(warp.file + op.a, warp.file + op.b);
  if (op.detail == nullptr) {
    merge_bits(warp.predicate(op.d), bits, lanes);
    return Step::next;
  }
  const Compared& detail = *static_cast<const Compared*>(op.detail);
  const auto logic = static_cast<Logic>(op.value);
  const std::uint32_t with = detail.with == kNowhere ? 0 : warp.predicate(detail.with);
  merge_bits(warp.predicate(op.d), combine(logic, bits, with), lanes);
  if (detail.q != kNowhere)
    merge_bits(warp.predicate(detail.q), combine(logic, ~bits, with), lanes);
  return Step::next;
}

struct Set {
  Logic logic = Logic::first;
  std::uint32_t yes = ~0u;
  Place with = kNowhere;
};

Step run_set(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Set& detail = *static_cast<const Set*>(op.detail);
  const std::uint32_t with = detail.with == kNowhere ? 0 : warp.predicate(detail.with);
  const std::uint32_t bits =
      combine(detail.logic, op.compare(warp.file + op.a, warp.file + op.b), with);
  for_lanes(lanes, [&](int lane) {
    warp.lanes<std::uint32_t>(op.d)[lane] = (bits >> lane & 1) != 0 ? detail.yes : 0;
  });
  return Step::next;
}

Step run_logic(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  merge_bits(warp.predicate(op.d),
             combine(static_cast<Logic>(op.value), warp.predicate(op.a), warp.predicate(op.b)),
             lanes);
  return Step::next;
}

}  // namespace

Step invert_predicate(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  merge_bits(warp.predicate(op.d), ~warp.predicate(op.a), lanes);
  return Step::next;
}

void decode_setp(Decoder& in) {
  const units::CompareOp compare = units::compare_op(in.instruction().opcode);
  const std::size_t count = compare.operands;
  in.require_operands(count + 1, count + 2);
  Place places[2] = {0, 0};
  for (std::size_t i = 0; i < count; ++i)
    places[i] = in.read(in.operand(i + 1), compare.operand_bits);
  Compared detail;
  Logic logic = Logic::first;
  if (in.operands().size() == count + 2) {
    const units::Opcode opcode(in.instruction().opcode);
    for (const std::string_view part : opcode.parts())
      if (logic_named(part) != Logic::first) logic = logic_named(part);
    if (logic == Logic::first) in.refuse("it has an operand too many");
    detail.with = in.read_predicate(in.operand(count + 1));
  }
  const Operand& to = in.operand(0);
  const bool two = to.kind == OperandKind::pair;
  const Place d = in.write_predicate(two ? to.parts[0] : to);
  if (two) detail.q = in.write_predicate(to.parts[1]);
  MicroOp& op = in.emit(run_compare);
  op.compare = compare.run;
  op.a = places[0];
  op.b = places[1];
  op.d = d;
  op.value = static_cast<std::int64_t>(logic);
  if (two || detail.with != kNowhere) op.detail = in.keep(detail);
}

/// set.CmpOp[.BoolOp].d-type.type: all ones, or 1.0, where the comparison holds; else 0.
void decode_set(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  const std::string from(opcode.take_last()), to(opcode.take_last());
  std::string compared = "setp";
  Logic logic = Logic::first;
  for (const std::string_view part : opcode.parts()) {
    compared += "." + std::string(part);
    if (logic_named(part) != Logic::first) logic = logic_named(part);
  }
  const units::CompareOp compare = units::compare_op(compared + "." + from);
  const auto type = type_named(to);
  const bool half = to == "f16", brain = to == "bf16", single = to == "f32";
  if (!type ||
      (to != "u32" && to != "s32" && to != "u16" && to != "s16" && !half && !brain && !single))
    in.refuse("this result is not supported");
  const std::size_t count = logic == Logic::first ? 3 : 4;
  in.require_operands(count, count);
  Set detail{.logic = logic,
             .yes = half               ? 0x3C00u
                    : brain            ? 0x3F80u
                    : single           ? 0x3F800000u
                    : type->bytes == 2 ? 0xFFFFu
                                       : ~0u};
  const Place a = in.read(in.operand(1), compare.operand_bits);
  const Place b = in.read(in.operand(2), compare.operand_bits);
  if (count == 4) detail.with = in.read_predicate(in.operand(3));
  const Place d = in.write(in.operand(0), 32);
  MicroOp& op = in.emit(run_set);
  op.compare = compare.run;
  op.a = a;
  op.b = b;
  op.d = d;
  op.detail = in.keep(detail);
}

void decode_logic(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  if (!opcode.ends_with(".pred")) return decode_lane_op(in);
  const bool inverts = opcode.starts_with("not");
  in.require_operands(inverts ? 2 : 3, inverts ? 2 : 3);
  const Place a = in.read_predicate(in.operand(1));
  const Place b = inverts ? a : in.read_predicate(in.operand(2));
  const Place d = in.write_predicate(in.operand(0));
  MicroOp& op = in.emit(inverts ? invert_predicate : run_logic);
  op.a = a;
  op.b = b;
  op.d = d;
  op.value = static_cast<std::int64_t>(logic_named(opcode.substr(0, opcode.find('.'))));
}

}  // namespace karat::ptx
