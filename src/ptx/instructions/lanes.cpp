// Arithmetic, logic and conversions: one result per lane from up to three operands of that lane.
#include <cstring>
#include <optional>

#include "execute/state.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"

namespace karat::ptx {
namespace {

template <typename Lane>
Step run_lane_op(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  std::byte* const file = warp.file;
  // Places of absent operands are 0: the units do not read them.
  if (lanes == ~0u) {
    op.lane(file + op.d, file + op.a, file + op.b, file + op.c);
    return Step::next;
  }
  alignas(64) Lane result[units::kLanes];
  op.lane(result, file + op.a, file + op.b, file + op.c);
  merge(warp.lanes<Lane>(op.d), result, lanes);
  return Step::next;
}

void emit_op(Decoder& in, const units::LaneOp& lane, Place d, const Place* places) {
  MicroOp& op =
      in.emit(lane.result_bits == 64 ? run_lane_op<std::uint64_t> : run_lane_op<std::uint32_t>);
  op.lane = lane.run;
  op.d = d;
  op.a = places[0];
  op.b = places[1];
  op.c = places[2];
}

/// cvt may write a register wider than its type: the result is extended by its sign or by zeros.
/// 8 bits fill 16 by themselves.
void extend(Decoder& in, Type type, Place narrow) {
  const Operand& to = in.operand(0);
  const std::string wide = in.type_of(to).bytes == 8 ? "64" : "32";
  const Place d = in.write(to, wide == "64" ? 64 : 32);
  const std::string kind = type.kind == TypeClass::signed_integer ? "s" : "u";
  in.emit_lane("cvt." + kind + wide + "." + kind + std::to_string(type.bytes * 8), d, narrow);
}

/// The type a cvt writes into a register that is wider than it, if so.
std::optional<Type> narrower_result(const Decoder& in) {
  const std::string& text = in.instruction().opcode;
  if (!text.starts_with("cvt.") || text.starts_with("cvt.pack.") || !in.is_register(in.operand(0)))
    return std::nullopt;
  const units::Opcode opcode(text);
  if (opcode.parts().size() < 2) return std::nullopt;
  const auto type = type_named(opcode.parts()[opcode.parts().size() - 2]);
  const bool integer = type && (type->kind == TypeClass::signed_integer ||
                                type->kind == TypeClass::unsigned_integer);
  const int bytes = in.type_of(in.operand(0)).bytes;
  return integer && type->bytes < bytes && bytes > 2 ? type : std::nullopt;
}

/// Registers of 16 bits hold no operands of 32: only cvt, ld and st mix widths.
void require_wide_registers(const Decoder& in) {
  const std::string& text = in.instruction().opcode;
  const auto type = type_named(text.substr(text.rfind('.') + 1));
  if (!type || type->bytes != 4 || text.starts_with("cvt.") || text.starts_with("slct.")) return;
  for (const Operand& each : in.operands())
    if (in.is_register(each) && in.type_of(each).kind != TypeClass::predicate &&
        in.type_of(each).bytes < 4)
      in.refuse("an operand has 32 bits, a register of it has not");
}

/// Opcodes as the units know them, with the instruction's operands.
void decode_as(Decoder& in, std::string_view opcode, std::size_t count) {
  const units::LaneOp lane = units::lane_op(opcode);
  require_wide_registers(in);
  if (lane.operands != count) in.refuse("it takes " + std::to_string(lane.operands) + " operands");
  Place places[3] = {0, 0, 0};
  for (std::size_t i = 0; i < lane.operands; ++i)
    places[i] = in.read(in.operand(i + 1), lane.operand_bits[i]);
  in.rests_on(lane.fidelity);
  const auto narrow = narrower_result(in);
  const Place d =
      narrow ? in.new_place(lane.result_bits) : in.write(in.operand(0), lane.result_bits);
  emit_op(in, lane, d, places);
  if (narrow) extend(in, *narrow, d);
}

/// lop3 and bfi: four operands, which no lane operation has.
struct FourOperands {
  Place a, b, c, length;
  std::uint32_t table;
  Place predicate = kNowhere, with = kNowhere;  ///< lop3's p and q
  bool both = false;                            ///< p = (d != 0) and q, not or
};

template <typename Lane>
Step run_bfi(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const auto& detail = *static_cast<const FourOperands*>(op.detail);
  const auto *position = warp.lanes<std::uint32_t>(detail.c),
             *length = warp.lanes<std::uint32_t>(detail.length);
  alignas(64) Lane result[units::kLanes];
  if constexpr (sizeof(Lane) == 8)
    units::bfi64_run(result, warp.lanes<Lane>(detail.a), warp.lanes<Lane>(detail.b), position,
                     length);
  else
    units::bfi32_run(result, warp.lanes<Lane>(detail.a), warp.lanes<Lane>(detail.b), position,
                     length);
  merge(warp.lanes<Lane>(op.d), result, lanes);
  return Step::next;
}

Step run_lop3(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const auto& detail = *static_cast<const FourOperands*>(op.detail);
  alignas(64) std::uint32_t result[units::kLanes];
  units::lop3_run(result, warp.lanes<std::uint32_t>(detail.a), warp.lanes<std::uint32_t>(detail.b),
                  warp.lanes<std::uint32_t>(detail.c), detail.table);
  if (detail.predicate != kNowhere) {
    std::uint32_t bits = 0;
    for (int l = 0; l < units::kLanes; ++l) bits |= std::uint32_t{result[l] != 0} << l;
    const std::uint32_t with = warp.predicate(detail.with);
    merge_bits(warp.predicate(detail.predicate), detail.both ? bits & with : bits | with, lanes);
  }
  merge(warp.lanes<std::uint32_t>(op.d), result, lanes);
  return Step::next;
}

}  // namespace

void Decoder::emit_lane(std::string_view opcode, Place d, Place a, Place b, Place c) {
  const Place places[3] = {a, b == kNowhere ? 0 : b, c == kNowhere ? 0 : c};
  emit_op(*this, units::lane_op(opcode), d, places);
}

void decode_lane_op(Decoder& in) {
  if (in.instruction().opcode.find(".cc.") != std::string::npos) return decode_carry(in);
  decode_as(in, in.instruction().opcode, in.operands().size() - (in.operands().empty() ? 0 : 1));
}

void decode_bfi(Decoder& in) {
  in.require_operands(5, 5);
  const bool wide = in.instruction().opcode == "bfi.b64";
  if (!wide && in.instruction().opcode != "bfi.b32") in.refuse("not supported");
  const int bits = wide ? 64 : 32;
  FourOperands detail{.a = in.read(in.operand(1), bits),
                      .b = in.read(in.operand(2), bits),
                      .c = in.read(in.operand(3), 32),
                      .length = in.read(in.operand(4), 32)};
  const Place d = in.write(in.operand(0), bits);
  MicroOp& op = in.emit(wide ? run_bfi<std::uint64_t> : run_bfi<std::uint32_t>);
  op.d = d;
  op.detail = in.keep(detail);
}

void decode_lop3(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  const bool both = opcode == "lop3.and.b32", combines = both || opcode == "lop3.or.b32";
  if (!combines && opcode != "lop3.b32") in.refuse("not supported");
  in.require_operands(combines ? 6 : 5, combines ? 6 : 5);
  const Operand& to = in.operand(0);
  if (combines != (to.kind == OperandKind::pair))
    in.refuse("d|p stands with .and and .or, and only there");
  FourOperands detail{.a = in.read(in.operand(1), 32),
                      .b = in.read(in.operand(2), 32),
                      .c = in.read(in.operand(3), 32),
                      .length = 0,
                      .table = static_cast<std::uint32_t>(in.constant(in.operand(4))) & 0xFF,
                      .both = both};
  if (combines) {
    detail.with = in.read_predicate(in.operand(5));
    detail.predicate = in.write_predicate(to.parts[1]);
  }
  const Place d = in.write(combines ? to.parts[0] : to, 32);
  MicroOp& op = in.emit(run_lop3);
  op.d = d;
  op.detail = in.keep(detail);
}

}  // namespace karat::ptx
