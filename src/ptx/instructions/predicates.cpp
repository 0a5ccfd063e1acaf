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

/// Of two numbers a register, f16x2 and bf16x2: the comparison of the low halves gives p, of the
/// high ones q.
struct Halves {
  alignas(64) std::uint32_t a[units::kLanes], b[units::kLanes];
  Halves(const MicroOp& op, const Warp& warp) {
    const auto *x = warp.lanes<std::uint32_t>(op.a), *y = warp.lanes<std::uint32_t>(op.b);
    for (int l = 0; l < units::kLanes; ++l) a[l] = x[l] >> 16, b[l] = y[l] >> 16;
  }
};

Step run_compare_halves(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Compared& detail = *static_cast<const Compared*>(op.detail);
  const auto logic = static_cast<Logic>(op.value);
  const Halves high(op, warp);
  const std::uint32_t with = detail.with == kNowhere ? 0 : warp.predicate(detail.with);
  const std::uint32_t first = op.compare(warp.file + op.a, warp.file + op.b);
  const std::uint32_t second = op.compare(high.a, high.b);
  merge_bits(warp.predicate(op.d), combine(logic, first, with), lanes);
  if (detail.q != kNowhere)
    merge_bits(warp.predicate(detail.q), combine(logic, second, with), lanes);
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

Step run_set_halves(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Set& detail = *static_cast<const Set*>(op.detail);
  const std::uint32_t with = detail.with == kNowhere ? 0 : warp.predicate(detail.with);
  const Halves high(op, warp);
  const std::uint32_t first =
      combine(detail.logic, op.compare(warp.file + op.a, warp.file + op.b), with);
  const std::uint32_t second = combine(detail.logic, op.compare(high.a, high.b), with);
  for_lanes(lanes, [&](int lane) {
    warp.lanes<std::uint32_t>(op.d)[lane] = ((first >> lane & 1) != 0 ? detail.yes : 0) |
                                            ((second >> lane & 1) != 0 ? detail.yes << 16 : 0);
  });
  return Step::next;
}

/// "setp.lt.f16x2" as the comparison of one half, "setp.lt.f16"; others as they are.
std::string of_a_half(const std::string& opcode, bool& halves) {
  halves = opcode.ends_with(".f16x2") || opcode.ends_with(".bf16x2");
  return halves ? opcode.substr(0, opcode.size() - 2) : opcode;
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
  bool halves = false;
  const units::CompareOp compare = units::compare_op(of_a_half(in.instruction().opcode, halves));
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
  const std::string& name = in.instruction().opcode;
  if (two && !halves && (name.ends_with("f16") || name.starts_with("testp")))
    in.refuse("it gives one predicate");
  const Place d = in.write_predicate(two ? to.parts[0] : to);
  if (two) detail.q = in.write_predicate(to.parts[1]);
  MicroOp& op = in.emit(halves ? run_compare_halves : run_compare);
  op.compare = compare.run;
  op.a = places[0];
  op.b = places[1];
  op.d = d;
  op.value = static_cast<std::int64_t>(logic);
  if (two || halves || detail.with != kNowhere) op.detail = in.keep(detail);
}

/// set.CmpOp[.BoolOp].d-type.type: all ones, or 1.0, where the comparison holds; else 0.
void decode_set(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  bool halves = false;
  const std::string from = of_a_half("." + std::string(opcode.take_last()), halves).substr(1);
  const std::string to(opcode.take_last());
  std::string compared = "setp";
  Logic logic = Logic::first;
  for (const std::string_view part : opcode.parts()) {
    compared += "." + std::string(part);
    if (logic_named(part) != Logic::first) logic = logic_named(part);
  }
  const units::CompareOp compare = units::compare_op(compared + "." + from);
  const auto type = type_named(to);
  const bool half = to == (halves ? "f16x2" : "f16"), brain = to == (halves ? "bf16x2" : "bf16");
  const bool single = to == "f32" && !halves;
  if (halves && !half && !brain && to != "u32" && to != "s32") in.refuse("this result");
  if (!type ||
      (to != "u32" && to != "s32" && to != "u16" && to != "s16" && !half && !brain && !single))
    in.refuse("this result is not supported");
  const std::size_t count = logic == Logic::first ? 3 : 4;
  in.require_operands(count, count);
  Set detail{.logic = logic,
             .yes = half                         ? 0x3C00u
                    : brain                      ? 0x3F80u
                    : single                     ? 0x3F800000u
                    : halves || type->bytes == 2 ? 0xFFFFu
                                                 : ~0u};
  const Place a = in.read(in.operand(1), compare.operand_bits);
  const Place b = in.read(in.operand(2), compare.operand_bits);
  if (count == 4) detail.with = in.read_predicate(in.operand(3));
  const Place d = in.write(in.operand(0), 32);
  MicroOp& op = in.emit(halves ? run_set_halves : run_set);
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
