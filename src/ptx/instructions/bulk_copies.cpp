// cp.async.bulk and cp.reduce.async.bulk of plain bytes.
#include "execute/bulk.hpp"
#include "execute/later.hpp"
#include "instructions/copies.hpp"
#include "instructions/qualifiers.hpp"
#include "units/tensor_copy.hpp"

namespace karat::ptx {
namespace {

enum class Direction { to_shared, to_global, between_shared };

struct Bulk {
  Direction direction = Direction::to_shared;
  bool reduces = false;
  units::Reduction reduction = units::Reduction::add;
  units::ReductionType type = units::ReductionType::u32;
  Place to = 0, from = 0, size = 0, mbarrier = 0, ctas = kNowhere;
};

/// One lane's copy, with the values its registers had.
struct BulkJob {
  std::uint64_t global = 0;
  std::uint32_t to = 0, from = 0, size = 0, mbarrier = 0, ctas = 0;
};

void do_store(const Bulk& bulk, Warp& warp, int lane, const BulkJob& job) {
  LaneMemory memory(warp, lane);
  const units::SharedMemory shared = shared_of(warp, job.from, lane);
  const std::uint32_t from = inside_shared(job.from);
  if (bulk.reduces)
    units::bulk_reduce(bulk.type, bulk.reduction, shared, from, memory, job.global, job.size);
  else
    units::bulk_store(shared, from, memory, job.global, job.size);
}

void do_load(const Bulk& bulk, Warp& warp, int lane, const BulkJob& job) {
  LaneMemory memory(warp, lane);
  copy_to_shared(warp, lane, job.to, job.mbarrier, job.ctas,
                 [&](units::SharedMemory& to, std::uint32_t inside) -> std::uint64_t {
                   if (bulk.direction == Direction::to_shared)
                     units::bulk_load(to, inside, memory, job.global, job.size);
                   else
                     units::bulk_shared(shared_of(warp, job.from, lane), inside_shared(job.from),
                                        to, inside, job.size);
                   return job.size;
                 });
}

Step run_bulk(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Bulk& bulk = *static_cast<const Bulk*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    const auto word = [&](Place place) { return warp.lanes<std::uint32_t>(place)[lane]; };
    const auto address = [&](Place place) { return warp.lanes<std::uint64_t>(place)[lane]; };
    const bool stores = bulk.direction == Direction::to_global;
    BulkJob job{.size = word(bulk.size)};
    if (stores || bulk.direction == Direction::to_shared)
      job.global = address(stores ? bulk.to : bulk.from);
    if (bulk.direction != Direction::to_shared) job.from = word(bulk.from);
    if (!stores) job.to = word(bulk.to), job.mbarrier = word(bulk.mbarrier);
    if (bulk.ctas != kNowhere) job.ctas = word(bulk.ctas) & 0xFFFF;
    const auto work = [&bulk, &warp, lane, job, stores] {
      stores ? do_store(bulk, warp, lane, job) : do_load(bulk, warp, lane, job);
    };
    if (!puts_off(*warp.cta->cluster)) return work();
    stores ? put_off(warp, warp.stores, work) : put_off(warp, work);
  });
  return Step::next;
}

void tell_bulk(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
               Moment moment) {
  if (moment == Moment::after) return;
  const Bulk& bulk = *static_cast<const Bulk*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    const auto word = [&](Place place) { return warp.lanes<std::uint32_t>(place)[lane]; };
    const auto address = [&](Place place) { return warp.lanes<std::uint64_t>(place)[lane]; };
    const std::uint32_t size = word(bulk.size);
    if (bulk.direction == Direction::to_global) {
      witness.async_read(warp, word(bulk.from), size);
      return witness.global(
          warp, bulk.reduces ? Witness::GlobalAccess::atomic : Witness::GlobalAccess::write,
          address(bulk.to), size);
    }
    if (bulk.direction == Direction::to_shared)
      witness.global(warp, Witness::GlobalAccess::read, address(bulk.from), size);
    tell_copy(warp, word(bulk.to), size, word(bulk.mbarrier),
              bulk.ctas == kNowhere ? 0 : word(bulk.ctas) & 0xFFFF, witness);
    if (bulk.direction == Direction::between_shared)
      witness.engine_read(warp, word(bulk.from), size, word(bulk.mbarrier));
  });
}

}  // namespace

void decode_bulk_copy(Decoder& in, units::Opcode& opcode, bool reduces) {
  Bulk bulk{.reduces = reduces};
  const auto to = opcode.take_first(), from = opcode.take_first();
  bulk.direction = to == "global"     ? Direction::to_global
                   : from == "global" ? Direction::to_shared
                                      : Direction::between_shared;
  opcode.take("L2::cache_hint");
  const bool multicast = opcode.take("multicast::cluster");
  if (multicast && to != "shared::cluster") opcode.refuse("a multicast goes to .shared::cluster");
  if (!opcode.take("mbarrier::complete_tx::bytes")) opcode.take("bulk_group");
  if (reduces) {
    if (bulk.direction != Direction::to_global) opcode.refuse("reductions into shared memory");
    opcode.take("noftz");
    bulk.type = units::reduction_type(opcode.take_last());
    bulk.reduction = units::reduction(opcode.take_last());
    in.program().atomic = true;
  }
  opcode.expect_nothing_left();
  const bool global = bulk.direction == Direction::to_global;
  in.require_operands(global ? 3 : 4, 6);
  bulk.to = global ? address64(in, in.operand(0)) : in.address32(in.operand(0));
  bulk.from = bulk.direction == Direction::to_shared ? address64(in, in.operand(1))
                                                     : in.address32(in.operand(1));
  bulk.size = in.read(in.operand(2), 32);
  if (!global) bulk.mbarrier = in.address32(in.operand(3));
  if (multicast) bulk.ctas = in.read(in.operand(4), 32);
  MicroOp& op = in.emit(run_bulk);
  op.detail = in.keep(bulk);
  op.tell = tell_bulk;
}

}  // namespace karat::ptx
