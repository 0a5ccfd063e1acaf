// Instructions that change no value here: caches, registers to set free, grids that follow, fences.
#include "execute/witness.hpp"
#include "instructions/copies.hpp"
#include "instructions/families.hpp"

namespace karat::ptx {
namespace {

Step run_nothing(const MicroOp&, Warp&, std::uint32_t) { return Step::next; }

void tell_fence(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness, Moment moment) {
  if (moment == Moment::after) witness.fence(warp);
}
template <Witness::Released kWhat>
void tell_release(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness,
                  Moment moment) {
  if (moment == Moment::after) witness.release(warp, kWhat);
}

/// fence.proxy.tensormap::generic.acquire of the map at an address.
void tell_map_fence(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                    Moment moment) {
  if (moment == Moment::before) return;
  for_lanes(lanes, [&](int lane) {
    witness.map(warp, Witness::MapStep::fence, warp.lanes<std::uint64_t>(op.a)[lane]);
  });
}

}  // namespace

/// createpolicy gives a cache policy, 64 bits that only cache hints look at: 0 here.
void decode_nothing(Decoder& in) {
  if (!in.instruction().opcode.starts_with("createpolicy")) {
    in.emit(run_nothing);
    return;
  }
  const Place zero = in.constant_place(0, 64), d = in.write(in.operand(0), 64);
  in.emit_lane("or.b64", d, zero, zero);
}

/// Memory is kept in one order, so a fence has nothing to do; it is named for whoever watches.
void decode_fence(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  if (opcode.starts_with("fence.proxy.tensormap") && !in.operands().empty()) {
    const Place a = address64(in, in.operand(0));
    MicroOp& op = in.emit(run_nothing);
    op.a = a;
    op.tell = tell_map_fence;
    return;
  }
  Tell tell = tell_release<Witness::Released::all>;
  if (opcode.starts_with("fence.mbarrier_init"))
    tell = tell_release<Witness::Released::mbarriers>;
  else if (opcode.starts_with("fence.proxy.async"))
    tell = opcode.ends_with(".global") ? nullptr : tell_fence;
  else if (opcode.starts_with("fence.proxy") || opcode.starts_with("fence.acquire"))
    tell = nullptr;
  in.emit(run_nothing).tell = tell;
}

}  // namespace karat::ptx
