// Addresses from one state space to another.
#include "execute/locate.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"
#include "instructions/qualifiers.hpp"

namespace karat::ptx {
namespace {

std::uint64_t window_of(Space space) {
  switch (space) {
    case Space::shared:
      return kSharedWindow;
    case Space::local:
      return kLocalWindow;
    case Space::param:
      return kParamWindow;
    default:
      return 0;
  }
}

Space space_of(std::uint64_t generic) {
  if (in_shared_window(generic)) return Space::shared;
  if (generic - kLocalWindow < kWindowSize) return Space::local;
  if (generic - kParamWindow < kWindowSize) return Space::param;
  return Space::global;
}

template <typename Lane>
Lane mapped(const Warp& warp, Lane address, std::uint32_t rank, std::uint64_t window, int lane) {
  if (rank >= warp.cta->cluster->ctas.size())
    throw Fault{lane, "the cluster has no CTA of rank " + std::to_string(rank)};
  const Lane inside = inside_shared(address - static_cast<Lane>(window));
  return static_cast<Lane>(window) + (static_cast<Lane>(rank + 1) << kRankShift) + inside;
}

template <typename Lane>
Step run_mapa(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    warp.lanes<Lane>(op.d)[lane] =
        mapped(warp, warp.lanes<Lane>(op.a)[lane], warp.lanes<std::uint32_t>(op.b)[lane],
               static_cast<std::uint64_t>(op.value), lane);
  });
  return Step::next;
}

template <typename Lane>
Step run_rank(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    const std::uint64_t address =
        warp.lanes<Lane>(op.a)[lane] - static_cast<std::uint64_t>(op.value);
    const std::uint32_t rank = static_cast<std::uint32_t>(address >> kRankShift) & 0xFF;
    warp.lanes<std::uint32_t>(op.d)[lane] = rank == 0 ? warp.cta->rank : rank - 1;
  });
  return Step::next;
}

Step run_isspacep(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  std::uint32_t bits = 0;
  for_lanes(lanes, [&](int lane) {
    const Space space = space_of(warp.lanes<std::uint64_t>(op.a)[lane]);
    bits |= static_cast<std::uint32_t>(space == static_cast<Space>(op.value)) << lane;
  });
  merge_bits(warp.predicate(op.d), bits, lanes);
  return Step::next;
}

}  // namespace

void decode_cvta(Decoder& in) {
  in.require_operands(2, 2);
  units::Opcode opcode(in.instruction().opcode);
  const bool to = opcode.take("to");
  const std::uint64_t window = window_of(take_space(opcode));
  if (opcode.take_last() != "u64") in.refuse("addresses have 64 bits");
  opcode.expect_nothing_left();
  const Place a = in.read(in.operand(1), 64), d = in.write(in.operand(0), 64);
  in.emit_lane(to ? "sub.u64" : "add.u64", d, a, in.constant_place(window, 64));
}

void decode_mapa(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  const bool generic = take_space(opcode) == Space::generic;
  const bool wide = opcode.take_last() == "u64";
  opcode.expect_nothing_left();
  const bool map = opcode.base() == "mapa";
  in.require_operands(map ? 3 : 2, map ? 3 : 2);
  const int bits = wide ? 64 : 32;
  const Place a = in.read(in.operand(1), bits);
  const Place b = map ? in.read(in.operand(2), 32) : 0;
  const Place d = in.write(in.operand(0), map ? bits : 32);
  MicroOp& op = in.emit(map ? (wide ? run_mapa<std::uint64_t> : run_mapa<std::uint32_t>)
                            : (wide ? run_rank<std::uint64_t> : run_rank<std::uint32_t>));
  op.a = a;
  op.b = b;
  op.d = d;
  op.value = static_cast<std::int64_t>(generic ? kSharedWindow : 0);
}

void decode_isspacep(Decoder& in) {
  in.require_operands(2, 2);
  units::Opcode opcode(in.instruction().opcode);
  const Space space = take_space(opcode);
  opcode.expect_nothing_left();
  const Place a = in.read(in.operand(1), 64), d = in.write_predicate(in.operand(0));
  MicroOp& op = in.emit(run_isspacep);
  op.a = a;
  op.d = d;
  op.value = static_cast<std::int64_t>(space);
}

}  // namespace karat::ptx
