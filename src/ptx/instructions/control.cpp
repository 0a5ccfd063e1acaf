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

Step leave_kernel(const MicroOp&, Warp& warp, std::uint32_t lanes) {
  leave(warp, lanes);
  if (!warp.done()) return Step::next;
  do_all(warp.copies);
  do_all(warp.stores);
  leave_barriers(*warp.cta);
  return Step::next;
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
  in.emit(leave_kernel);
}

void decode_trap(Decoder& in) {
  in.require_operands(0, 0);
  in.emit(run_trap).detail = in.keep(std::string("the kernel stops here by itself"));
}

/// A failing assertion is a fault of the kernel; other functions are not run.
void decode_call(Decoder& in) {
  std::string name;
  for (const Operand& each : in.operands())
    if (each.kind == OperandKind::function && name.empty()) name = each.name;
  if (name != "__assertfail") in.refuse("calls are not supported");
  in.emit(run_trap).detail = in.keep(std::string("an assertion of the kernel failed"));
}

}  // namespace karat::ptx
