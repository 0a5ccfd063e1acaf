// bar, barrier: named barriers of a CTA, of a warp, of a cluster.
#include "execute/barrier.hpp"
#include "execute/groups.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"

namespace karat::ptx {
namespace {

enum class Waiting : std::uint8_t { sync, arrive };

struct NamedBarrierOp {
  Waiting waiting = Waiting::sync;
  BarrierReduction reduction = BarrierReduction::none;
  bool aligned = true;  ///< all lanes of a warp at one instruction
  Place id = kNowhere, threads = kNowhere, predicate = kNowhere;
};

std::uint32_t live_threads(const Cta& cta) {
  std::uint32_t warps = 0;
  for (const Warp& each : cta.warps) warps += !each.done();
  return 32 * warps;
}

/// The warp arrives at the barrier once all its lanes have come.
/// @return whether the round is over
bool arrive(const NamedBarrierOp& detail, Warp& warp, std::uint32_t lanes, std::uint32_t id) {
  Barrier& barrier = warp.cta->barriers[id];
  warp.at_barrier[id] = 0;
  if (warp.cta->witness != nullptr)
    warp.cta->witness->arrive(
        warp, named_key(*warp.cta, id),
        detail.waiting == Waiting::sync ? Witness::Arrival::waits : Witness::Arrival::passes);
  const int lane = first_lane(lanes);
  const bool whole = detail.threads == kNowhere;
  const std::uint32_t expected =
      whole ? live_threads(*warp.cta) : warp.lanes<std::uint32_t>(detail.threads)[lane];
  barrier.whole = whole;
  const std::uint64_t round = barrier.state.round;
  const units::NamedBarrierEvent event = barrier.state.arrive(expected);
  if (units::is_error(event))
    throw Fault{-1, "barrier " + std::to_string(id) + ": " +
                        std::string(units::named_barrier_event_meaning(event))};
  if (event != units::NamedBarrierEvent::completed) return false;
  finish_round(*warp.cta, id, round);
  return true;
}

/// Adds the predicates of some lanes to the round's reductions.
void contribute(const NamedBarrierOp& detail, const Warp& warp, std::uint32_t lanes,
                Barrier& barrier) {
  if (detail.reduction == BarrierReduction::none) return;
  const std::uint32_t bits = warp.predicate(detail.predicate) & lanes;
  barrier.now.count += static_cast<std::uint32_t>(__builtin_popcount(bits));
  barrier.now.all &= bits == lanes;
  barrier.now.any |= bits != 0;
}

void give_result(const NamedBarrierOp& detail, const MicroOp& op, Warp& warp, std::uint32_t lanes,
                 const Barrier::Reduced& result) {
  switch (detail.reduction) {
    case BarrierReduction::none:
      return;
    case BarrierReduction::popc:
      for_lanes(lanes, [&](int lane) { warp.lanes<std::uint32_t>(op.d)[lane] = result.count; });
      return;
    case BarrierReduction::all:
      return merge_bits(warp.predicate(op.d), result.all ? ~0u : 0, lanes);
    case BarrierReduction::any:
      return merge_bits(warp.predicate(op.d), result.any ? ~0u : 0, lanes);
  }
}

Step run_named(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const auto& detail = *static_cast<const NamedBarrierOp*>(op.detail);
  Pending& pending = warp.now.pending;
  const auto whole_warp = [&](std::uint32_t id) {
    return warp.at_barrier[id] != 0 && (warp.alive & ~warp.at_barrier[id]) == 0;
  };
  if (pending.kind == Pending::Kind::none) {
    if (detail.aligned && !converged(warp, ~0u)) return Step::wait;
    const std::uint32_t id = warp.lanes<std::uint32_t>(detail.id)[first_lane(lanes)];
    if (id >= warp.cta->barriers.size())
      throw Fault{first_lane(lanes), "barrier " + std::to_string(id) + " is none of 0 to 15"};
    const std::uint64_t round = warp.cta->barriers[id].state.round;
    contribute(detail, warp, lanes, warp.cta->barriers[id]);
    warp.at_barrier[id] |= warp.now.lanes;
    const bool over = whole_warp(id) && arrive(detail, warp, lanes, id);
    if (!over && detail.waiting == Waiting::sync) {
      pending = {Pending::Kind::barrier, id, round};
      return Step::wait;
    }
    give_result(detail, op, warp, lanes, warp.cta->barriers[id].results[round % 2]);
    return Step::next;
  }
  if (whole_warp(pending.id)) arrive(detail, warp, lanes, pending.id);  // others have left
  const Barrier& barrier = warp.cta->barriers[pending.id];
  if (barrier.state.round == pending.round) return Step::wait;
  give_result(detail, op, warp, lanes, barrier.results[pending.round % 2]);
  pending = {};
  return Step::next;
}

void tell_named(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                Moment moment) {
  const auto& detail = *static_cast<const NamedBarrierOp*>(op.detail);
  if (moment == Moment::after && detail.waiting == Waiting::sync)
    witness.wait(warp,
                 named_key(*warp.cta, warp.lanes<std::uint32_t>(detail.id)[first_lane(lanes)]));
}

Step run_warp_sync(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t members = warp.lanes<std::uint32_t>(op.a)[first_lane(lanes)];
  return meet(op, warp, lanes, members).count > 0 ? Step::next : Step::wait;
}

std::uint32_t live_warps(const Cluster& cluster) {
  std::uint32_t warps = 0;
  for (const Cta& cta : cluster.ctas)
    for (const Warp& warp : cta.warps) warps += !warp.done();
  return warps;
}

void finish_cluster_round(Cluster& cluster) {
  if (cluster.arrived == 0 || cluster.arrived < live_warps(cluster)) return;
  cluster.arrived = 0;
  ++cluster.round;
  Witness* const witness = cluster.ctas[0].witness;
  if (witness != nullptr) witness->complete(Witness::kClusterKey);
}

/// value: 1 if it releases what the warp did before.
Step run_cluster_arrive(const MicroOp& op, Warp& warp, std::uint32_t) {
  if (!converged(warp, ~0u)) return Step::wait;
  Cluster& cluster = *warp.cta->cluster;
  if (warp.cluster_round > cluster.round)
    throw Fault{-1, "it arrives twice at the cluster's barrier without waiting"};
  warp.cluster_round = cluster.round + 1;
  ++cluster.arrived;
  if (warp.cta->witness != nullptr)
    warp.cta->witness->arrive(warp, Witness::kClusterKey,
                              op.value != 0 ? Witness::Arrival::passes : Witness::Arrival::relaxed);
  finish_cluster_round(cluster);
  return Step::next;
}

Step run_cluster_wait(const MicroOp&, Warp& warp, std::uint32_t) {
  Cluster& cluster = *warp.cta->cluster;
  finish_cluster_round(cluster);  // others may have left
  return cluster.round >= warp.cluster_round ? Step::next : Step::wait;
}

void tell_cluster_wait(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness,
                       Moment moment) {
  if (moment == Moment::after) witness.wait(warp, Witness::kClusterKey);
}

void tell_warp_sync(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness,
                    Moment moment) {
  if (moment == Moment::after) witness.meet_lanes(warp);
}

void decode_cluster_barrier(Decoder& in, units::Opcode& opcode) {
  const bool arrives = opcode.take("arrive");
  if (!arrives && !opcode.take("wait")) opcode.refuse("neither arrive nor wait");
  const bool relaxed = arrives && opcode.take("relaxed");
  opcode.take("aligned");
  opcode.take(arrives ? "release" : "acquire");
  opcode.expect_nothing_left();
  in.require_operands(0, 0);
  MicroOp& op = in.emit(arrives ? run_cluster_arrive : run_cluster_wait);
  op.value = relaxed ? 0 : 1;
  if (!arrives) op.tell = tell_cluster_wait;
}

BarrierReduction take_reduction(units::Opcode& opcode) {
  if (!opcode.take("red")) return BarrierReduction::none;
  const auto name = opcode.take_one_of({"popc", "and", "or"});
  opcode.take_one_of({"u32", "pred"});
  return name == "popc"  ? BarrierReduction::popc
         : name == "and" ? BarrierReduction::all
                         : BarrierReduction::any;
}

}  // namespace

void decode_bar(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  if (opcode.take("cluster")) return decode_cluster_barrier(in, opcode);
  if (opcode.take("warp")) {
    opcode.take("sync");
    opcode.expect_nothing_left();
    in.require_operands(1, 1);
    const Place a = in.read(in.operand(0), 32);
    MicroOp& op = in.emit(run_warp_sync);
    op.a = a;
    op.tell = tell_warp_sync;
    return;
  }
  opcode.take("cta");
  const bool says = opcode.take("aligned"), short_form = opcode.base() == "bar";
  if (says && short_form) opcode.refuse("bar is aligned without saying so");
  const bool aligned = says || short_form;
  NamedBarrierOp detail{.reduction = take_reduction(opcode), .aligned = aligned};
  const bool reduces = detail.reduction != BarrierReduction::none;
  if (opcode.take("arrive"))
    detail.waiting = Waiting::arrive;
  else if (!reduces && !opcode.take("sync"))
    opcode.refuse("neither sync, arrive nor red");
  opcode.expect_nothing_left();
  const std::size_t first = reduces ? 1 : 0, last = in.operands().size() - (reduces ? 1 : 0);
  in.require_operands(first * 2 + 1, first * 2 + 2);
  const auto number = [&](std::size_t i) -> std::int64_t {
    return in.operand(i).kind == OperandKind::immediate ? in.constant(in.operand(i)) : 0;
  };
  if (number(first) < 0 || number(first) > 15) in.refuse("barriers are numbered from 0 to 15");
  if (first + 1 < last && number(first + 1) % 32 != 0) in.refuse("threads are a multiple of 32");
  if (detail.waiting == Waiting::arrive && first + 1 >= last)
    in.refuse("a number of threads is missing");
  detail.id = in.read(in.operand(first), 32);
  if (first + 1 < last) detail.threads = in.read(in.operand(first + 1), 32);
  Place d = kNowhere;
  if (reduces) {
    detail.predicate = in.read_predicate(in.operand(last));
    d = detail.reduction == BarrierReduction::popc ? in.write(in.operand(0), 32)
                                                   : in.write_predicate(in.operand(0));
  }
  MicroOp& op = in.emit(run_named);
  op.tell = tell_named;
  op.d = d;
  op.detail = in.keep(detail);
}

}  // namespace karat::ptx
