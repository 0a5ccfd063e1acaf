// cp.async.bulk.tensor: boxes of tensors by their maps (TMA), loads, stores, reductions.
#include <array>

#include "execute/bulk.hpp"
#include "execute/later.hpp"
#include "instructions/copies.hpp"
#include "instructions/qualifiers.hpp"
#include "units/tensor_copy.hpp"

namespace karat::ptx {
namespace {

enum class Action { load, store, reduce };

struct TensorCopy {
  Action action = Action::load;
  units::Reduction reduction = units::Reduction::add;
  std::size_t rank = 1;
  std::array<Place, 5> coordinates{};
  Place map = 0, shared = 0, mbarrier = 0, ctas = kNowhere;
};

units::TensorMap map_at(const Warp& warp, std::uint64_t address, int lane) {
  if (address % 64 != 0)
    throw Fault{lane, "the tensor map's address " + hexadecimal(address) + " is no multiple of 64"};
  const std::byte* const image = LaneMemory(const_cast<Warp&>(warp), lane)
                                     .at(address, units::kTensorMapBytes, MemoryAccess::read);
  return units::decode({image, units::kTensorMapBytes});
}

/// One lane's box, with the values its registers had.
struct TensorJob {
  units::TensorMap map;
  std::array<std::int32_t, 5> at{};
  std::uint32_t shared = 0, mbarrier = 0, ctas = 0;
};

void do_tensor(const TensorCopy& copy, Warp& warp, int lane, const TensorJob& job) {
  const std::span<const std::int32_t> coordinates(job.at.data(), copy.rank);
  LaneMemory memory(warp, lane);
  if (copy.action == Action::load) {
    copy_to_shared(warp, lane, job.shared, job.mbarrier, job.ctas,
                   [&](units::SharedMemory& to, std::uint32_t inside) {
                     return units::tensor_load(job.map, coordinates, to, inside, memory);
                   });
    return;
  }
  const units::SharedMemory from = shared_of(warp, job.shared, lane);
  const std::uint32_t inside = inside_shared(job.shared);
  if (copy.action == Action::store)
    units::tensor_store(job.map, coordinates, from, inside, memory);
  else
    units::tensor_reduce(job.map, copy.reduction, coordinates, from, inside, memory);
}

Step run_tensor(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const TensorCopy& copy = *static_cast<const TensorCopy*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    const auto word = [&](Place place) { return warp.lanes<std::uint32_t>(place)[lane]; };
    TensorJob job{.map = map_at(warp, warp.lanes<std::uint64_t>(copy.map)[lane], lane),
                  .shared = word(copy.shared)};
    for (std::size_t i = 0; i < copy.rank; ++i)
      job.at[i] = static_cast<std::int32_t>(word(copy.coordinates[i]));
    if (copy.action == Action::load) job.mbarrier = word(copy.mbarrier);
    if (copy.ctas != kNowhere) job.ctas = word(copy.ctas) & 0xFFFF;
    if (!puts_off(*warp.cta->cluster)) return do_tensor(copy, warp, lane, job);
    const auto work = [&copy, &warp, lane, job] { do_tensor(copy, warp, lane, job); };
    copy.action == Action::load ? put_off(warp, work) : put_off(warp, warp.stores, work);
  });
  return Step::next;
}

Witness::GlobalAccess access_of(Action action) {
  switch (action) {
    case Action::load:
      return Witness::GlobalAccess::read;
    case Action::store:
      return Witness::GlobalAccess::write;
    case Action::reduce:
      break;
  }
  return Witness::GlobalAccess::atomic;
}

void tell_tensor(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                 Moment moment) {
  if (moment == Moment::after) return;
  const TensorCopy& copy = *static_cast<const TensorCopy*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    const std::uint64_t map_address = warp.lanes<std::uint64_t>(copy.map)[lane];
    const units::TensorMap map = map_at(warp, map_address, lane);
    witness.map(warp, Witness::MapStep::use, map_address);
    const std::uint32_t shared = warp.lanes<std::uint32_t>(copy.shared)[lane];
    const auto bytes = static_cast<std::uint32_t>(units::box_bytes(map));
    const auto word = [&](Place place) { return warp.lanes<std::uint32_t>(place)[lane]; };
    std::array<std::int32_t, 5> at{};
    for (std::size_t i = 0; i < copy.rank; ++i)
      at[i] = static_cast<std::int32_t>(word(copy.coordinates[i]));
    if (units::box_bytes(map) > kSharedLimit) return;  // the copy itself says so
    for (const units::ByteRange& each : units::global_ranges(map, {at.data(), copy.rank}))
      witness.global(warp, access_of(copy.action), each.begin, each.end - each.begin);
    if (copy.action == Action::load)
      tell_copy(warp, shared, bytes, word(copy.mbarrier),
                copy.ctas == kNowhere ? 0 : word(copy.ctas) & 0xFFFF, witness);
    else
      witness.async_read(warp, shared, bytes);
  });
}

/// [map, {c0, c1, ...}]
void take_map(Decoder& in, const Operand& operand, TensorCopy& copy) {
  if (operand.kind != OperandKind::address || operand.parts.size() != 2)
    in.refuse("[map, {coordinates}] is missing");
  const Operand& list = operand.parts[1];
  const auto coordinate = [&](std::size_t i) -> const Operand& {
    return list.kind == OperandKind::vector ? list.parts[i] : list;
  };
  const std::size_t count = list.kind == OperandKind::vector ? list.parts.size() : 1;
  if (count != copy.rank) in.refuse("it has " + std::to_string(count) + " coordinates");
  for (std::size_t i = 0; i < count; ++i) copy.coordinates[i] = in.read(coordinate(i), 32);
  copy.map = address64(in, operand);
}

}  // namespace

void decode_tensor_copy(Decoder& in, units::Opcode& opcode, bool reduces) {
  const auto rank = opcode.take_one_of({"1d", "2d", "3d", "4d", "5d"});
  if (rank.empty()) opcode.refuse("the number of dimensions is missing");
  TensorCopy copy{.rank = static_cast<std::size_t>(rank[0] - '0')};
  const std::string_view to = opcode.take_first();
  const bool to_global = to == "global";
  opcode.take_first();
  copy.action = reduces ? Action::reduce : to_global ? Action::store : Action::load;
  for (const char* each : {"tile", "L2::cache_hint"}) opcode.take(each);
  if (in.architecture() >= 100) opcode.take("cta_group::1");
  const bool multicast = opcode.take("multicast::cluster");
  if (multicast && to != "shared::cluster") opcode.refuse("a multicast goes to .shared::cluster");
  if (!opcode.take("mbarrier::complete_tx::bytes")) opcode.take("bulk_group");
  if (reduces) {
    copy.reduction = units::reduction(opcode.take_first());
    in.program().atomic = true;
  }
  opcode.expect_nothing_left();
  in.require_operands(2, 5);
  if (to_global) {
    take_map(in, in.operand(0), copy);
    copy.shared = in.address32(in.operand(1));
  } else {
    copy.shared = in.address32(in.operand(0));
    take_map(in, in.operand(1), copy);
    copy.mbarrier = in.address32(in.operand(2));
    if (multicast) copy.ctas = in.read(in.operand(3), 32);
  }
  MicroOp& op = in.emit(run_tensor);
  op.detail = in.keep(copy);
  op.tell = tell_tensor;
}

}  // namespace karat::ptx
