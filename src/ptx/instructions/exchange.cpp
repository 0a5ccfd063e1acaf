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

template <typename Detail>
const Detail& detail_of(const Party& party) {
  return *static_cast<const Detail*>(party.op->detail);
}

/// Values of all lanes that meet, each from the place its own instruction names.
template <typename Lane, typename PlaceOf>
const Lane* values_of(const Warp& warp, const Parties& parties, Lane* buffer, PlaceOf place_of) {
  if (parties.count == 1) return warp.lanes<Lane>(place_of(parties.list[0]));
  for (const Party& each : parties.all())
    merge(buffer, warp.lanes<Lane>(place_of(each)), each.lanes);
  return buffer;
}
template <typename PlaceOf>
std::uint32_t bits_of(const Warp& warp, const Parties& parties, PlaceOf place_of) {
  std::uint32_t bits = 0;
  for (const Party& each : parties.all())
    merge_bits(bits, warp.predicate(place_of(each)), each.lanes);
  return bits;
}
std::uint32_t lanes_of(const Parties& parties) {
  std::uint32_t lanes = 0;
  for (const Party& each : parties.all()) lanes |= each.lanes;
  return lanes;
}
/// One value for every lane.
void give(Warp& warp, Place d, std::uint32_t value, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) { warp.lanes<std::uint32_t>(d)[lane] = value; });
}

Step run_shuffle(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const ShuffleDetail& detail = *static_cast<const ShuffleDetail*>(op.detail);
  const Parties parties = meet(op, warp, lanes, members_of(warp, detail.members, lanes));
  if (parties.count == 0) return Step::wait;
  alignas(64) std::uint32_t a[units::kLanes], b[units::kLanes], c[units::kLanes];
  alignas(64) std::uint32_t result[units::kLanes];
  using Detail = ShuffleDetail;
  const std::uint32_t in_range = units::shuffle(
      detail.mode,
      values_of(warp, parties, a, [](const Party& p) { return detail_of<Detail>(p).a; }),
      values_of(warp, parties, b, [](const Party& p) { return detail_of<Detail>(p).b; }),
      values_of(warp, parties, c, [](const Party& p) { return detail_of<Detail>(p).c; }), result);
  for (const Party& each : parties.all()) {
    const Detail& own = detail_of<Detail>(each);
    merge(warp.lanes<std::uint32_t>(own.d), result, each.lanes);
    if (own.predicate != kNowhere) merge_bits(warp.predicate(own.predicate), in_range, each.lanes);
  }
  return Step::next;
}

/// a: predicate, b: members, d: predicate or register.
Step run_vote(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t named = members_of(warp, op.b, lanes);
  const Parties parties = meet(op, warp, lanes, named);
  if (parties.count == 0) return Step::wait;
  const std::uint32_t members = named & lanes_of(parties);
  const std::uint32_t bits = bits_of(warp, parties, [](const Party& p) { return p.op->a; });
  const auto answer = [&](bool yes) {
    for (const Party& each : parties.all())
      merge_bits(warp.predicate(each.op->d), yes ? ~0u : 0, each.lanes);
  };
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
    case Vote::ballot:
      for (const Party& each : parties.all())
        give(warp, each.op->d, units::vote_ballot(members, bits), each.lanes);
  }
  return Step::next;
}

template <typename Lane>
void match(const MatchDetail& detail, Warp& warp, std::uint32_t members, const Parties& parties) {
  alignas(64) std::uint32_t result[units::kLanes] = {};
  alignas(64) Lane buffer[units::kLanes] = {};
  const Lane* const a =
      values_of(warp, parties, buffer, [](const Party& p) { return detail_of<MatchDetail>(p).a; });
  std::uint32_t equal = 0;
  if (detail.all) {
    equal = units::match_all(members, a);
    for (std::uint32_t& each : result) each = equal;
  } else {
    units::match_any(members, a, result);
  }
  for (const Party& each : parties.all()) {
    const MatchDetail& own = detail_of<MatchDetail>(each);
    if (own.predicate != kNowhere)
      merge_bits(warp.predicate(own.predicate), equal != 0 ? ~0u : 0, each.lanes);
    merge(warp.lanes<std::uint32_t>(own.d), result, each.lanes);
  }
}

Step run_match(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const MatchDetail& detail = *static_cast<const MatchDetail*>(op.detail);
  const std::uint32_t named = members_of(warp, detail.members, lanes);
  const Parties parties = meet(op, warp, lanes, named);
  if (parties.count == 0) return Step::wait;
  const std::uint32_t members = named & lanes_of(parties);
  if (detail.wide)
    match<std::uint64_t>(detail, warp, members, parties);
  else
    match<std::uint32_t>(detail, warp, members, parties);
  return Step::next;
}

/// a: members, d: the lane, b: the predicate.
Step run_elect(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t named = members_of(warp, op.a, lanes);
  const Parties parties = meet(op, warp, lanes, named);
  if (parties.count == 0) return Step::wait;
  const std::uint32_t members = named & lanes_of(parties);
  if (members == 0) throw Fault{first_lane(lanes), "none of its lanes is there"};
  const int chosen = units::elect(members);
  for (const Party& each : parties.all()) {
    merge_bits(warp.predicate(each.op->b), 1u << chosen, each.lanes);
    give(warp, each.op->d, static_cast<std::uint32_t>(chosen), each.lanes);
  }
  return Step::next;
}

struct ReduxDetail {
  units::ReduxRun run = nullptr;
};

/// a: values, b: members.
Step run_redux(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t named = members_of(warp, op.b, lanes);
  const Parties parties = meet(op, warp, lanes, named);
  if (parties.count == 0) return Step::wait;
  alignas(64) std::uint32_t buffer[units::kLanes] = {};
  const std::uint32_t result = static_cast<const ReduxDetail*>(op.detail)->run(
      named & lanes_of(parties),
      values_of(warp, parties, buffer, [](const Party& p) { return p.op->a; }));
  for (const Party& each : parties.all()) give(warp, each.op->d, result, each.lanes);
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
  if (two && to.parts[0].kind == OperandKind::sink) in.refuse("its value goes into a register");
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
  if (two && !detail.all) in.refuse("match.any gives no predicate");
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
  if (in.instruction().opcode.ends_with("f32") && in.architecture() < 100)
    in.refuse("f32 needs sm_100");
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
