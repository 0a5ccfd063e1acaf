// ld and st: all state spaces, vectors, and registers wider than what is loaded.
#include <cstring>

#include "execute/lane_ranges.hpp"
#include "execute/locate.hpp"
#include "execute/witness.hpp"
#include "instructions/families.hpp"
#include "instructions/qualifiers.hpp"

namespace karat::ptx {
namespace {

/// One vector of registers and where it goes.
struct Transfer {
  Space space = Space::generic;
  int bytes = 4;      ///< of an element in memory
  bool sign = false;  ///< a load extends the sign
  std::vector<Place> places;
  std::vector<int> register_bytes;  ///< 2, 4 or 8: what the element is extended to
};

std::uint64_t lane_address(const MicroOp& op, const Warp& warp, int lane) {
  std::uint64_t address = static_cast<std::uint64_t>(op.value);
  if (op.target != 0) return address + warp.lanes<std::uint64_t>(op.a)[lane];
  if (op.a != kNowhere) address += warp.lanes<std::uint32_t>(op.a)[lane];
  return address;
}

std::uint64_t extended(std::uint64_t value, int from, int to, bool sign) {
  if (!sign || from >= to) return value;
  const int shift = 64 - 8 * from;
  value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
  return to == 8 ? value : value & ((std::uint64_t{1} << (8 * to)) - 1);
}

Step run_load(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Transfer& transfer = *static_cast<const Transfer*>(op.detail);
  const std::size_t count = transfer.places.size();
  const auto bytes = static_cast<std::size_t>(transfer.bytes);
  for_lanes(lanes, [&](int lane) {
    const std::byte* at = locate(warp, transfer.space, lane_address(op, warp, lane), bytes * count,
                                 lane, MemoryAccess::read);
    for (std::size_t i = 0; i < count; ++i, at += bytes) {
      std::uint64_t value = 0;
      std::memcpy(&value, at, bytes);
      const int width = transfer.register_bytes[i];
      value = extended(value, transfer.bytes, width, transfer.sign);
      if (width == 8)
        warp.lanes<std::uint64_t>(transfer.places[i])[lane] = value;
      else
        warp.lanes<std::uint32_t>(transfer.places[i])[lane] = static_cast<std::uint32_t>(value);
    }
  });
  return Step::next;
}

Step run_store(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Transfer& transfer = *static_cast<const Transfer*>(op.detail);
  const std::size_t count = transfer.places.size();
  const auto bytes = static_cast<std::size_t>(transfer.bytes);
  for_lanes(lanes, [&](int lane) {
    std::byte* at = locate(warp, transfer.space, lane_address(op, warp, lane), bytes * count, lane,
                           MemoryAccess::write);
    for (std::size_t i = 0; i < count; ++i, at += bytes) {
      const Place place = transfer.places[i];
      if (transfer.register_bytes[i] == 8)
        std::memcpy(at, warp.lanes<std::uint64_t>(place) + lane, bytes);
      else
        std::memcpy(at, warp.lanes<std::uint32_t>(place) + lane, bytes);
    }
  });
  return Step::next;
}

template <bool kWrites>
void tell_transfer(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                   Moment moment) {
  if (moment == Moment::after) return;
  const Transfer& transfer = *static_cast<const Transfer*>(op.detail);
  const auto bytes = static_cast<std::uint64_t>(transfer.bytes) * transfer.places.size();
  LaneRanges shared([&](std::uint64_t begin, std::uint64_t end) {
    const auto at = static_cast<std::uint32_t>(begin),
               size = static_cast<std::uint32_t>(end - begin);
    kWrites ? witness.write(warp, at, size) : witness.read(warp, at, size);
  });
  LaneRanges global([&](std::uint64_t begin, std::uint64_t end) {
    witness.global(warp, kWrites ? Witness::GlobalAccess::write : Witness::GlobalAccess::read,
                   begin, end - begin);
  });
  for_lanes(lanes, [&](int lane) {
    const std::uint64_t address = lane_address(op, warp, lane);
    if (transfer.space == Space::shared)
      shared.add(address & 0xFFFF'FFFF, bytes);
    else if (transfer.space == Space::generic && in_shared_window(address))
      shared.add(address - kSharedWindow, bytes);
    else if (in_global(address))
      global.add(address, bytes);
  });
  shared.tell();
  global.tell();
}

/// The instruction's qualifiers: space, vector length, type.
Transfer transfer_of(Decoder& in, const Operand& address, std::size_t& count) {
  units::Opcode opcode(in.instruction().opcode);
  Transfer transfer{.space = take_space(opcode)};
  const Operand& base = address.parts.empty() ? address : address.parts[0];
  if (transfer.space == Space::param && base.kind == OperandKind::local_variable)
    transfer.space = Space::local;  // arguments of a call, kept beside other local variables
  take_hints(opcode);
  const auto vector = opcode.take_one_of({"v2", "v4", "v8"});
  count = vector.empty() ? 1 : static_cast<std::size_t>(vector[1] - '0');
  const auto type = type_named(opcode.take_last());
  if (!type || type->kind == TypeClass::predicate || type->bytes > 8)
    in.refuse("this type is not supported");
  opcode.expect_nothing_left();
  transfer.bytes = type->bytes;
  transfer.sign = type->kind == TypeClass::signed_integer;
  const std::size_t most = in.architecture() >= 100 ? 32 : 16;
  if (count * type->bytes > most) in.refuse("more than " + std::to_string(most) + " bytes a lane");
  return transfer;
}

/// Whether accesses like this one may order others: those of weak loads and stores do not.
bool orders(const std::string& opcode) {
  for (const char* each : {".acquire", ".release", ".relaxed", ".volatile", ".mmio"})
    if (opcode.find(each) != std::string::npos) return true;
  return false;
}

void emit_transfer(Decoder& in, Run run, const Operand& where, Transfer transfer) {
  const AddressOperand at = in.address(where);
  const bool shared = transfer.space == Space::shared;
  const bool told = shared || transfer.space == Space::generic || transfer.space == Space::global;
  if (told && !shared && orders(in.instruction().opcode)) in.program().synchronizes = true;
  MicroOp& op = in.emit(run);
  if (told) op.tell = run == run_load ? tell_transfer<false> : tell_transfer<true>;
  op.a = at.base;
  op.target = at.wide;
  op.value = at.offset;
  op.detail = in.keep(std::move(transfer));
}

std::vector<Operand> elements(Decoder& in, const Operand& value, std::size_t count) {
  const bool vector = value.kind == OperandKind::vector;
  std::vector<Operand> list = vector ? value.parts : std::vector<Operand>{value};
  if (list.size() != count) in.refuse("the vector has another length than the opcode says");
  return list;
}

}  // namespace

void decode_load(Decoder& in) {
  in.require_operands(2, 3);
  std::size_t count = 0;
  Transfer transfer = transfer_of(in, in.operand(1), count);
  for (const Operand& each : elements(in, in.operand(0), count)) {
    const bool sink = each.kind == OperandKind::sink;
    const int width = sink                   ? (transfer.bytes == 8 ? 8 : 4)
                      : in.is_register(each) ? in.type_of(each).bytes
                                             : 0;
    if (width < transfer.bytes) in.refuse("the register is narrower than what is loaded");
    transfer.places.push_back(in.write(each, width == 8 ? 64 : 32));
    transfer.register_bytes.push_back(width);
  }
  emit_transfer(in, run_load, in.operand(1), std::move(transfer));
}

void decode_store(Decoder& in) {
  if (in.instruction().opcode.starts_with("st.async.")) return decode_async_store(in);
  in.require_operands(2, 3);
  std::size_t count = 0;
  Transfer transfer = transfer_of(in, in.operand(0), count);
  for (const Operand& each : elements(in, in.operand(1), count)) {
    const int width = in.is_register(each) && in.type_of(each).bytes == 8 ? 8
                      : transfer.bytes == 8                               ? 8
                                                                          : 4;
    transfer.places.push_back(in.read(each, width * 8));
    transfer.register_bytes.push_back(width);
  }
  emit_transfer(in, run_store, in.operand(0), std::move(transfer));
}

}  // namespace karat::ptx
