// Branches and ends.
#include "execute/barrier.hpp"
#include "execute/groups.hpp"
#include "execute/later.hpp"
#include "instructions/families.hpp"

namespace karat::ptx {
namespace {

Step run_trap(const MicroOp& op, Warp&, std::uint32_t lanes) {
  throw Fault{first_lane(lanes), *static_cast<const std::string*>(op.detail)};
}

}  // namespace

Step branch(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  if (lanes != warp.now.lanes) {
    split(warp, lanes, op.target);
    return Step::next;
  }
  warp.now.pc = op.target;
  return Step::jump;
}

/// Lanes whose index is the operation's go to its target.
Step branch_by_index(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const auto* index = warp.lanes<std::uint32_t>(op.a);
  std::uint32_t taken = 0;
  for_lanes(lanes, [&](int lane) {
    if (index[lane] == static_cast<std::uint32_t>(op.value)) taken |= 1u << lane;
  });
  return taken == 0 ? Step::next : branch(op, warp, taken);
}

Step leave_kernel(const MicroOp&, Warp& warp, std::uint32_t lanes) {
  leave(warp, lanes);
  if (!warp.done()) return Step::next;
  do_all(warp.copies);
  do_all(warp.stores);
  leave_barriers(*warp.cta);
  return Step::next;
}

void tell_leaving(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness,
                  Moment moment) {
  if (moment == Moment::after && warp.done()) witness.leave(warp);
}

void decode_bra(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  if (opcode != "bra" && opcode != "bra.uni") in.refuse("not supported");
  in.require_operands(1, 1);
  if (in.operand(0).kind != OperandKind::label) in.refuse("it goes to a label");
  const std::uint32_t target = in.operand(0).index;
  in.emit(branch).target = target;
}

void decode_exit(Decoder& in) {
  in.require_operands(0, 0);
  in.emit(leave_kernel).tell = tell_leaving;
}

void decode_trap(Decoder& in) {
  in.require_operands(0, 0);
  in.emit(run_trap).detail = in.keep(std::string("the kernel stops here by itself"));
}

/// brx.idx index, table: to the label at that place of the table; behind its end the kernel is at
/// fault (PTX leaves it undefined).
void decode_brx(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  if (opcode != "brx.idx" && opcode != "brx.idx.uni") in.refuse("not supported");
  in.require_operands(2, 2);
  if (in.operand(1).kind != OperandKind::table) in.refuse("it goes by a list of .branchtargets");
  const Place index = in.read(in.operand(0), 32);
  const auto& targets = in.program().function->tables[in.operand(1).index];
  for (std::size_t i = 0; i < targets.size(); ++i) {
    MicroOp& op = in.emit(branch_by_index);
    op.a = index;
    op.value = static_cast<std::int64_t>(i);
    op.target = targets[i];
  }
  in.emit(run_trap).detail = in.keep(std::string("the index is beyond the list of its targets"));
}

/// What inline_calls() has left. A failing assertion is a fault of the kernel.
void decode_call(Decoder& in) {
  std::string name;
  for (const Operand& each : in.operands())
    if (each.kind == OperandKind::function && name.empty()) name = each.name;
  if (name.empty()) in.refuse("calls by address are not supported");
  if (name != "__assertfail")
    in.refuse("calls of " + name +
              " are not supported: it has no body here, calls itself, takes an argument's address "
              "or has arguments in registers; or the kernel is 32 calls deep or beyond 2^20 "
              "instructions");
  in.emit(run_trap).detail = in.keep(std::string("an assertion of the kernel failed"));
}

}  // namespace karat::ptx
