// Lanes of a warp exchange values: shfl, vote, match, redux, elect, activemask. Those with a member
// mask wait until its lanes are there.
#include "execute/groups.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"
#include "units/shuffle.hpp"

namespace karat::ptx {
namespace {

enum class Vote : std::int64_t { all, any, uni, ballot };

struct ShuffleDetail {
  units::ShuffleMode mode{};
  Place a = 0, b = 0, c = 0, d = 0, predicate = kNowhere, members = 0;
};

struct MatchDetail {
  bool all = false, wide = false;
  Place a = 0, d = 0, predicate = kNowhere, members = 0;
};

std::uint32_t members_of(const Warp& warp, Place place, std::uint32_t lanes) {
  return warp.lanes<std::uint32_t>(place)[first_lane(lanes)];
}

Step run_shuffle(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const ShuffleDetail& detail = *static_cast<const ShuffleDetail*>(op.detail);
  if (!converged(warp, members_of(warp, detail.members, lanes))) return Step::wait;
  alignas(64) std::uint32_t result[units::kLanes];
  const std::uint32_t in_range = units::shuffle(detail.mode, warp.lanes<std::uint32_t>(detail.a),
                                                warp.lanes<std::uint32_t>(detail.b),
                                                warp.lanes<std::uint32_t>(detail.c), result);
  merge(warp.lanes<std::uint32_t>(detail.d), result, lanes);
  if (detail.predicate != kNowhere) merge_bits(warp.predicate(detail.predicate), in_range, lanes);
  return Step::next;
}

/// a: predicate, b: members, d: predicate or register.
Step run_vote(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t named = members_of(warp, op.b, lanes);
  if (!converged(warp, named)) return Step::wait;
  const std::uint32_t members = named & lanes, bits = warp.predicate(op.a);
  const auto answer = [&](bool yes) { merge_bits(warp.predicate(op.d), yes ? ~0u : 0, lanes); };
  switch (static_cast<Vote>(op.value)) {
    case Vote::all:
      answer(units::vote_all(members, bits));
      break;
    case Vote::any:
      answer(units::vote_any(members, bits));
      break;
    case Vote::uni:
      answer(units::vote_uni(members, bits));
      break;
    case Vote::ballot: {
      const std::uint32_t ballot = units::vote_ballot(members, bits);
      for_lanes(lanes, [&](int lane) { warp.lanes<std::uint32_t>(op.d)[lane] = ballot; });
    }
  }
  return Step::next;
}

template <typename Lane>
void match(const MatchDetail& detail, Warp& warp, std::uint32_t members, std::uint32_t lanes) {
  alignas(64) std::uint32_t result[units::kLanes] = {};
  const Lane* const a = warp.lanes<Lane>(detail.a);
  if (detail.all) {
    const std::uint32_t equal = units::match_all(members, a);
    for (std::uint32_t& each : result) each = equal;
    if (detail.predicate != kNowhere)
      merge_bits(warp.predicate(detail.predicate), equal != 0 ? ~0u : 0, lanes);
  } else {
    units::match_any(members, a, result);
  }
  merge(warp.lanes<std::uint32_t>(detail.d), result, lanes);
}

Step run_match(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const MatchDetail& detail = *static_cast<const MatchDetail*>(op.detail);
  const std::uint32_t named = members_of(warp, detail.members, lanes);
  if (!converged(warp, named)) return Step::wait;
  if (detail.wide)
    match<std::uint64_t>(detail, warp, named & lanes, lanes);
  else
    match<std::uint32_t>(detail, warp, named & lanes, lanes);
  return Step::next;
}

/// a: members, d: the lane, b: the predicate.
Step run_elect(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t named = members_of(warp, op.a, lanes);
  if (!converged(warp, named)) return Step::wait;
  if ((named & lanes) == 0) throw Fault{first_lane(lanes), "none of its lanes is there"};
  const int chosen = units::elect(named & lanes);
  merge_bits(warp.predicate(op.b), 1u << chosen, lanes);
  for_lanes(lanes, [&](int lane) {
    warp.lanes<std::uint32_t>(op.d)[lane] = static_cast<std::uint32_t>(chosen);
  });
  return Step::next;
}

struct ReduxDetail {
  units::ReduxRun run = nullptr;
};

/// a: values, b: members.
Step run_redux(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t named = members_of(warp, op.b, lanes);
  if (!converged(warp, named)) return Step::wait;
  const std::uint32_t result = static_cast<const ReduxDetail*>(op.detail)->run(
      named & lanes, warp.lanes<std::uint32_t>(op.a));
  for_lanes(lanes, [&](int lane) { warp.lanes<std::uint32_t>(op.d)[lane] = result; });
  return Step::next;
}

Step run_activemask(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) { warp.lanes<std::uint32_t>(op.d)[lane] = lanes; });
  return Step::next;
}

}  // namespace

void decode_shfl(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  if (!opcode.take("sync")) opcode.refuse("shfl without .sync");
  opcode.take("b32");
  ShuffleDetail detail{.mode = units::shuffle_mode(opcode.take_first())};
  opcode.expect_nothing_left();
  in.require_operands(5, 5);
  const Operand& to = in.operand(0);
  const bool two = to.kind == OperandKind::pair;
  detail.a = in.read(in.operand(1), 32);
  detail.b = in.read(in.operand(2), 32);
  detail.c = in.read(in.operand(3), 32);
  detail.members = in.read(in.operand(4), 32);
  detail.d = in.write(two ? to.parts[0] : to, 32);
  if (two) detail.predicate = in.write_predicate(to.parts[1]);
  in.emit(run_shuffle).detail = in.keep(detail);
}

void decode_vote(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  if (!opcode.take("sync")) opcode.refuse("vote without .sync");
  opcode.take_one_of({"pred", "b32"});
  const auto mode = opcode.take_one_of({"all", "any", "uni", "ballot"});
  opcode.expect_nothing_left();
  in.require_operands(3, 3);
  const Vote vote = mode == "all"   ? Vote::all
                    : mode == "any" ? Vote::any
                    : mode == "uni" ? Vote::uni
                                    : Vote::ballot;
  const Place a = in.read_predicate(in.operand(1)), b = in.read(in.operand(2), 32);
  const Place d =
      vote == Vote::ballot ? in.write(in.operand(0), 32) : in.write_predicate(in.operand(0));
  MicroOp& op = in.emit(run_vote);
  op.a = a;
  op.b = b;
  op.d = d;
  op.value = static_cast<std::int64_t>(vote);
}

void decode_match(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  if (!opcode.take("sync")) opcode.refuse("match without .sync");
  MatchDetail detail{.all = opcode.take("all")};
  opcode.take("any");
  detail.wide = opcode.take_last() == "b64";
  opcode.expect_nothing_left();
  in.require_operands(3, 3);
  const Operand& to = in.operand(0);
  const bool two = to.kind == OperandKind::pair;
  detail.a = in.read(in.operand(1), detail.wide ? 64 : 32);
  detail.members = in.read(in.operand(2), 32);
  detail.d = in.write(two ? to.parts[0] : to, 32);
  if (two) detail.predicate = in.write_predicate(to.parts[1]);
  in.emit(run_match).detail = in.keep(detail);
}

void decode_elect(Decoder& in) {
  if (in.instruction().opcode != "elect.sync") in.refuse("not supported");
  in.require_operands(2, 2);
  const Operand& to = in.operand(0);
  if (to.kind != OperandKind::pair) in.refuse("it gives a lane and a predicate, d|p");
  const Place a = in.read(in.operand(1), 32), d = in.write(to.parts[0], 32);
  const Place b = in.write_predicate(to.parts[1]);
  MicroOp& op = in.emit(run_elect);
  op.a = a;
  op.b = b;
  op.d = d;
}

void decode_redux(Decoder& in) {
  in.require_operands(3, 3);
  const ReduxDetail detail{units::redux_op(in.instruction().opcode)};
  const Place a = in.read(in.operand(1), 32), b = in.read(in.operand(2), 32);
  const Place d = in.write(in.operand(0), 32);
  MicroOp& op = in.emit(run_redux);
  op.a = a;
  op.b = b;
  op.d = d;
  op.detail = in.keep(detail);
}

void decode_activemask(Decoder& in) {
  in.require_operands(1, 1);
  const Place d = in.write(in.operand(0), 32);
  in.emit(run_activemask).d = d;
}

}  // namespace karat::ptx
