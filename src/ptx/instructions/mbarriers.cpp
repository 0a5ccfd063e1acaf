// mbarrier.*: init, inval, arrivals, transaction counts, waits.
#include "execute/later.hpp"
#include "execute/mbarrier_at.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"
#include "instructions/qualifiers.hpp"

namespace karat::ptx {
namespace {

enum class Change { arrive, arrive_drop, arrive_expect, drop_expect, expect, complete };
enum class Test { parity, state };

/// a: addresses, b: counts or transactions, d: what arrive returns (or nowhere).
template <Change kChange>
Step run_change(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    const std::uint32_t address = warp.lanes<std::uint32_t>(op.a)[lane];
    const std::uint32_t count = warp.lanes<std::uint32_t>(op.b)[lane];
    const units::Mbarrier before =
        change_mbarrier(warp, address, lane, [&](units::Mbarrier& barrier) {
          switch (kChange) {
            case Change::arrive:
              return barrier.arrive(count);
            case Change::arrive_drop:
              return barrier.arrive_drop(count);
            case Change::arrive_expect:
              return barrier.arrive_expect_tx(count);
            case Change::drop_expect: {
              const units::BarrierEvent event = barrier.expect_tx(count);
              return units::is_error(event) ? event : barrier.arrive_drop(1);
            }
            case Change::expect:
              return barrier.expect_tx(count);
            case Change::complete:
              return barrier.complete_tx(count);
          }
          return units::BarrierEvent::none;
        });
    if (op.d != kNowhere) warp.lanes<std::uint64_t>(op.d)[lane] = before.state();
  });
  return Step::next;
}

Step run_init(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    const std::uint32_t address = warp.lanes<std::uint32_t>(op.a)[lane];
    units::Mbarrier barrier;
    const units::BarrierEvent event = barrier.init(warp.lanes<std::uint32_t>(op.b)[lane]);
    if (units::is_error(event)) throw Fault{lane, std::string(units::barrier_event_meaning(event))};
    const std::uint64_t word = barrier.word();
    std::memcpy(locate(warp, Space::shared, address, 8, lane, MemoryAccess::write), &word, 8);
  });
  return Step::next;
}

Step run_inval(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    const std::uint32_t address = warp.lanes<std::uint32_t>(op.a)[lane];
    change_mbarrier(warp, address, lane,
                    [](units::Mbarrier&) { return units::BarrierEvent::none; });
    std::memset(locate(warp, Space::shared, address, 8, lane, MemoryAccess::write), 0, 8);
  });
  return Step::next;
}

/// Lanes whose phase is over.
template <Test kTest>
std::uint32_t tested(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  std::uint32_t over = 0;
  for_lanes(lanes, [&](int lane) {
    change_mbarrier(
        warp, warp.lanes<std::uint32_t>(op.a)[lane], lane, [&](units::Mbarrier& barrier) {
          const bool yes = kTest == Test::parity
                               ? barrier.test_parity(warp.lanes<std::uint32_t>(op.b)[lane])
                               : barrier.test_state(warp.lanes<std::uint64_t>(op.b)[lane]);
          over |= static_cast<std::uint32_t>(yes) << lane;
          return units::BarrierEvent::none;
        });
  });
  return over;
}

/// try_wait may wait as long as it likes: here until the phase is over for one of the lanes, so
/// that the others do not hold it up. Under another schedule than the eager one it may answer no.
template <Test kTest>
Step run_try_wait(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t over = tested<kTest>(op, warp, lanes);
  const bool answers = over == 0 && puts_off(*warp.cta->cluster);
  if (over == 0 && !answers) return Step::wait;
  merge_bits(warp.predicate(op.d), over, lanes);
  return answers ? Step::yield : Step::next;
}

/// test_wait answers at once; where the answer is no, others get their turn.
template <Test kTest>
Step run_test_wait(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t over = tested<kTest>(op, warp, lanes);
  merge_bits(warp.predicate(op.d), over, lanes);
  return over == lanes ? Step::next : Step::yield;
}

Step run_pending_count(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    warp.lanes<std::uint32_t>(op.d)[lane] =
        units::pending_count(warp.lanes<std::uint64_t>(op.a)[lane]);
  });
  return Step::next;
}

enum class Told { arrival, relaxed, wait, use, begin, end };

template <Told kTold>
void tell(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
          Moment moment) {
  for_lanes(lanes, [&](int lane) {
    const std::uint32_t address = warp.lanes<std::uint32_t>(op.a)[lane];
    if (moment == Moment::before) {
      if (kTold == Told::begin || kTold == Told::end)
        return witness.mbarrier(warp, address, kTold == Told::begin);
      witness.use_mbarrier(warp, address);
      if (kTold == Told::arrival || kTold == Told::relaxed)
        witness.arrive(
            warp, ranked(warp, address),
            kTold == Told::relaxed ? Witness::Arrival::relaxed : Witness::Arrival::passes);
    } else if (kTold == Told::wait && (warp.predicate(op.d) >> lane & 1) != 0) {
      witness.wait(warp, ranked(warp, address));
    }
  });
}

/// What the operation is to others.
Tell tell_of(Run run) {
  if (run == run_init) return tell<Told::begin>;
  if (run == run_inval) return tell<Told::end>;
  if (run == run_try_wait<Test::parity> || run == run_try_wait<Test::state> ||
      run == run_test_wait<Test::parity> || run == run_test_wait<Test::state>)
    return tell<Told::wait>;
  if (run == run_pending_count) return nullptr;
  if (run == run_change<Change::expect> || run == run_change<Change::complete>)
    return tell<Told::use>;
  return tell<Told::arrival>;
}

MicroOp& emit_on(Decoder& in, Run run, Place a, Place b, Place d) {
  MicroOp& op = in.emit(run);
  op.tell = tell_of(run);
  op.a = a;
  op.b = b;
  op.d = d;
  return op;
}

void decode_wait(Decoder& in, Run parity_run, Run state_run, bool parity) {
  in.require_operands(3, 4);
  const Place a = in.address32(in.operand(1)), b = in.read(in.operand(2), parity ? 32 : 64);
  emit_on(in, parity ? parity_run : state_run, a, b, in.write_predicate(in.operand(0)));
}

/// [state,] [address] [, count]
void decode_arrival(Decoder& in, bool drop, bool expect, bool relaxed) {
  const bool returns = in.operand(0).kind != OperandKind::address;
  const std::size_t at = returns ? 1 : 0;
  in.require_operands(at + (expect ? 2 : 1), at + 2);
  const Place a = in.address32(in.operand(at));
  const Place b =
      in.operands().size() > at + 1 ? in.read(in.operand(at + 1), 32) : in.constant_place(1, 32);
  const Place d =
      returns && in.operand(0).kind != OperandKind::sink ? in.write(in.operand(0), 64) : kNowhere;
  const Run run = drop
                      ? (expect ? run_change<Change::drop_expect> : run_change<Change::arrive_drop>)
                      : (expect ? run_change<Change::arrive_expect> : run_change<Change::arrive>);
  MicroOp& op = emit_on(in, run, a, b, d);
  if (relaxed) op.tell = tell<Told::relaxed>;
}

}  // namespace

void decode_mbarrier(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  const auto what = opcode.take_first();
  if (what == "pending_count") {
    in.require_operands(2, 2);
    const Place a = in.read(in.operand(1), 64);
    emit_on(in, run_pending_count, a, kNowhere, in.write(in.operand(0), 32));
    return;
  }
  const bool remote = in.instruction().opcode.find(".shared::cluster") != std::string::npos;
  const bool arrives = what == "arrive" || what == "arrive_drop";
  const bool waits = what == "try_wait" || what == "test_wait";
  const auto order = opcode.take_one_of({"release", "acquire", "relaxed"});
  const auto scope = opcode.take_one_of({"cta", "cluster", "gpu", "sys"});
  if (order.empty() != scope.empty()) opcode.refuse("a memory order and its scope stand together");
  if ((order == "acquire" && !waits) || (order == "release" && !arrives))
    opcode.refuse("the part ." + std::string(order));
  if (remote && (waits || what == "init" || what == "inval"))
    opcode.refuse("this is done in the own CTA");
  take_space(opcode);
  opcode.take("b64");
  const bool parity = opcode.take("parity"), expect = opcode.take("expect_tx");
  if (opcode.take("noComplete") && (order == "relaxed" || scope == "cluster" || remote))
    opcode.refuse(".noComplete is released in its CTA");
  opcode.expect_nothing_left();
  if (what == "test_wait") in.require_operands(3, 3);
  if (remote && arrives && in.operand(0).kind == OperandKind::reg)
    opcode.refuse("an arrival in another CTA gives no state: _ is its result");
  if (what == "try_wait")
    return decode_wait(in, run_try_wait<Test::parity>, run_try_wait<Test::state>, parity);
  if (what == "test_wait")
    return decode_wait(in, run_test_wait<Test::parity>, run_test_wait<Test::state>, parity);
  if (what == "arrive" || what == "arrive_drop")
    return decode_arrival(in, what == "arrive_drop", expect, order == "relaxed");
  const Place a = in.address32(in.operand(0));
  if (what == "inval") {
    emit_on(in, run_inval, a, kNowhere, kNowhere);
    return;
  }
  Run run = nullptr;
  if (what == "init")
    run = run_init;
  else if (what == "expect_tx" || expect)
    run = run_change<Change::expect>;
  else if (what == "complete_tx")
    run = run_change<Change::complete>;
  else
    in.refuse("not supported");
  emit_on(in, run, a, in.read(in.operand(1), 32), kNowhere);
}

}  // namespace karat::ptx
