// cp.async, cp.async.bulk, cp.async.bulk.tensor, cp.reduce: done at once, at issue.
#include "instructions/copies.hpp"

#include <cstring>

#include "execute/lane_ranges.hpp"
#include "execute/later.hpp"
#include "execute/mbarrier_at.hpp"
#include "instructions/families.hpp"
#include "instructions/qualifiers.hpp"

namespace karat::ptx {
namespace {

Step run_nothing(const MicroOp&, Warp&, std::uint32_t) { return Step::next; }

/// Four, eight or sixteen bytes of one lane; what is not taken becomes zero.
struct Copy {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  std::uint64_t taken = 0, size = 0;
};
void do_copy(const Copy& copy) {
  if (copy.taken > 0) std::memcpy(copy.to, copy.from, copy.taken);
  std::memset(copy.to + copy.taken, 0, copy.size - copy.taken);
}

/// a: shared, b: global, c: bytes taken from the source (or nowhere); value: bytes in all.
/// detail: not null if c is a predicate that says to ignore the source.
Step run_cp_async(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const auto size = static_cast<std::uint64_t>(op.value);
  std::vector<Copy> copies;
  const bool later = puts_off(*warp.cta->cluster);
  for_lanes(lanes, [&](int lane) {
    std::uint64_t taken = size;
    if (op.c != kNowhere)
      taken = op.target != 0 ? ((warp.predicate(op.c) >> lane & 1) != 0 ? 0 : size)
                             : std::min<std::uint64_t>(warp.lanes<std::uint32_t>(op.c)[lane], size);
    std::byte* const to = locate(warp, Space::shared, warp.lanes<std::uint32_t>(op.a)[lane], size,
                                 lane, MemoryAccess::write);
    const std::uint64_t from = warp.lanes<std::uint64_t>(op.b)[lane];
    Copy copy{.to = to, .taken = taken, .size = size};
    if (taken > 0) {
      if (from % size != 0)
        throw Fault{lane,
                    "address " + hexadecimal(from) + " is no multiple of " + std::to_string(size)};
      copy.from = LaneMemory(warp, lane).at(from, taken, MemoryAccess::read);
    }
    if (later)
      copies.push_back(copy);
    else
      do_copy(copy);
  });
  if (later)
    put_off(warp, warp.copies, [copies] {
      for (const Copy& each : copies) do_copy(each);
    });
  return Step::next;
}

/// The arrival comes when the copies before it have ended.
template <bool kIncrements>
Step run_cp_async_arrive(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  for_lanes(lanes, [&](int lane) {
    const std::uint32_t address = warp.lanes<std::uint32_t>(op.a)[lane];
    if (kIncrements)
      change_mbarrier(warp, address, lane,
                      [](units::Mbarrier& barrier) { return barrier.increment_pending(); });
    const auto arrive = [&warp, address, lane] {
      do_all(warp.copies);
      if (warp.cta->witness != nullptr) warp.cta->witness->copies_done(ranked(warp, address));
      change_mbarrier(warp, address, lane,
                      [](units::Mbarrier& barrier) { return barrier.arrive(); });
    };
    if (puts_off(*warp.cta->cluster))
      put_off(warp, arrive);
    else
      arrive();
  });
  return Step::next;
}

Step run_commit_copies(const MicroOp&, Warp& warp, std::uint32_t) {
  if (warp.cta->cluster->schedule != Schedule::eager) warp.copies.commit();
  return Step::next;
}
/// value: groups that may be left, -1 of wait_all.
Step run_wait_copies(const MicroOp& op, Warp& warp, std::uint32_t) {
  if (op.value < 0)
    do_all(warp.copies);
  else
    do_groups(warp.copies, static_cast<std::size_t>(op.value));
  return Step::next;
}
Step run_commit_stores(const MicroOp&, Warp& warp, std::uint32_t) {
  if (warp.cta->cluster->schedule != Schedule::eager) warp.stores.commit();
  return Step::next;
}
Step run_wait_stores(const MicroOp& op, Warp& warp, std::uint32_t) {
  do_groups(warp.stores, static_cast<std::size_t>(op.value));
  return Step::next;
}

void tell_cp_async(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                   Moment moment) {
  if (moment == Moment::after) return;
  LaneRanges ranges([&](std::uint64_t begin, std::uint64_t end) {
    witness.copy(warp, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin));
  });
  for_lanes(lanes, [&](int lane) {
    ranges.add(warp.lanes<std::uint32_t>(op.a)[lane], static_cast<std::uint64_t>(op.value));
  });
  ranges.tell();
}

void tell_cp_async_arrive(const MicroOp& op, const Warp& warp, std::uint32_t lanes,
                          Witness& witness, Moment moment) {
  if (moment == Moment::after) return;
  std::vector<std::uint32_t> mbarriers;
  for_lanes(lanes, [&](int lane) { mbarriers.push_back(warp.lanes<std::uint32_t>(op.a)[lane]); });
  witness.hand_copies(warp, mbarriers);
}

void tell_commit_copies(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness,
                        Moment moment) {
  if (moment == Moment::after) witness.commit_copies(warp);
}
/// value: groups that may be left, -1 of wait_all.
void tell_wait_copies(const MicroOp& op, const Warp& warp, std::uint32_t, Witness& witness,
                      Moment moment) {
  if (moment == Moment::before) return;
  if (op.value < 0) witness.commit_copies(warp);
  witness.wait_copies(warp, static_cast<std::size_t>(std::max<std::int64_t>(op.value, 0)));
}

void tell_commit_stores(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness,
                        Moment moment) {
  if (moment == Moment::after) witness.commit_reads(warp, Witness::Reader::store);
}
void tell_wait_stores(const MicroOp& op, const Warp& warp, std::uint32_t, Witness& witness,
                      Moment moment) {
  if (moment == Moment::after)
    witness.wait_reads(warp, Witness::Reader::store, static_cast<std::size_t>(op.value));
}

void emit_group(Decoder& in, Run run, Tell tell, std::int64_t left) {
  MicroOp& op = in.emit(run);
  op.tell = tell;
  op.value = left;
}

std::int64_t groups_left(Decoder& in) {
  in.require_operands(1, 1);
  const std::int64_t left = in.constant(in.operand(0));
  if (left < 0) in.refuse("a number of groups is not negative");
  return left;
}

void decode_cp_async(Decoder& in, units::Opcode& opcode) {
  if (opcode.take("mbarrier")) {
    opcode.take("arrive");
    const bool increments = !opcode.take("noinc");
    take_space(opcode);
    opcode.take("b64");
    opcode.expect_nothing_left();
    const Place a = in.address32(in.operand(0));
    MicroOp& op = in.emit(increments ? run_cp_async_arrive<true> : run_cp_async_arrive<false>);
    op.a = a;
    op.tell = tell_cp_async_arrive;
    return;
  }
  if (opcode.take("commit_group")) return emit_group(in, run_commit_copies, tell_commit_copies, 0);
  if (opcode.take("wait_group"))
    return emit_group(in, run_wait_copies, tell_wait_copies, groups_left(in));
  if (opcode.take("wait_all")) return emit_group(in, run_wait_copies, tell_wait_copies, -1);
  const bool level2 = opcode.take("cg");
  if (opcode.text().find(".shared::cluster") != std::string_view::npos)
    opcode.refuse("it copies into the own CTA");
  take_hints(opcode);
  if (take_space(opcode) != Space::shared || take_space(opcode) != Space::global)
    opcode.refuse("it copies from global to shared memory");
  opcode.expect_nothing_left();
  in.require_operands(3, 5);
  const Place a = in.address32(in.operand(0)), b = address64(in, in.operand(1));
  const std::int64_t size = in.constant(in.operand(2));
  if (size != 4 && size != 8 && size != 16) in.refuse("it copies 4, 8 or 16 bytes");
  if (level2 && size != 16) in.refuse(".cg copies 16 bytes");
  Place c = kNowhere;
  bool ignores = false;
  if (in.operands().size() > 3) {
    const Operand& taken = in.operand(3);
    ignores = in.is_register(taken) && in.type_of(taken).kind == TypeClass::predicate;
    const bool policy = in.is_register(taken) && in.type_of(taken).bytes == 8;
    if (ignores)
      c = in.read_predicate(taken);
    else if (!policy)
      c = in.read(taken, 32);
  }
  MicroOp& op = in.emit(run_cp_async);
  op.a = a;
  op.b = b;
  op.c = c;
  op.value = size;
  op.target = ignores;
  op.tell = tell_cp_async;
}

}  // namespace

Place address64(Decoder& in, const Operand& operand) {
  const AddressOperand at = in.address(operand);
  if (at.base == kNowhere) return in.constant_place(static_cast<std::uint64_t>(at.offset), 64);
  Place base = at.base;
  if (!at.wide) {
    base = in.new_place(64);
    in.emit_lane("cvt.u64.u32", base, at.base);
  }
  if (at.offset == 0) return base;
  const Place sum = in.new_place(64);
  in.emit_lane("add.u64", sum, base, in.constant_place(static_cast<std::uint64_t>(at.offset), 64));
  return sum;
}

void decode_cp(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  const bool reduces = opcode.take("reduce");
  if (!opcode.take("async")) opcode.refuse("not supported");
  if (!opcode.take("bulk")) return decode_cp_async(in, opcode);
  if (opcode.take("commit_group")) return emit_group(in, run_commit_stores, tell_commit_stores, 0);
  if (opcode.take("wait_group"))
    return emit_group(in, run_wait_stores, tell_wait_stores, groups_left(in));
  if (opcode.take("prefetch")) return emit_group(in, run_nothing, nullptr, 0);
  if (opcode.take("tensor"))
    decode_tensor_copy(in, opcode, reduces);
  else
    decode_bulk_copy(in, opcode, reduces);
}

}  // namespace karat::ptx
