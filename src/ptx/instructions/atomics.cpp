// atom and red: one lane after the other, from the lowest.
#include <bit>
#include <cstring>

#include "execute/locate.hpp"
#include "execute/witness.hpp"
#include "instructions/families.hpp"
#include "instructions/qualifiers.hpp"
#include "units/tensor_copy.hpp"

namespace karat::ptx {
namespace {

enum class Kind { reduce, exchange, compare };

struct Atomic {
  Space space = Space::generic;
  Kind kind = Kind::reduce;
  units::Reduction reduction = units::Reduction::add;
  units::ReductionType type = units::ReductionType::u32;
  std::size_t bytes = 4;       ///< of what a register holds
  std::size_t element = 4;     ///< of what is reduced: half of that for pairs
  bool sum_flushes = false;    ///< f32 sums in global memory have no subnormals
  std::vector<Place> d, b, c;  ///< per register; d empty for red
  Place base = kNowhere;
  bool wide = false;
};

std::byte* lane_at(const Warp& warp, Place place, std::size_t bytes, int lane) {
  return warp.file + place + static_cast<std::size_t>(lane) * (bytes == 8 ? 8 : 4);
}

/// A sum of f32 in global memory: subnormals are zeros of their sign, before and after.
void add_flushed(std::byte* at, const std::byte* value) {
  const auto flushed = [](const std::byte* from) {
    std::uint32_t word = 0;
    std::memcpy(&word, from, 4);
    return (word & 0x7F800000) == 0 ? word & 0x80000000 : word;
  };
  const std::uint32_t a = flushed(at), b = flushed(value);
  std::memcpy(at, &a, 4);
  units::reduce_element(units::ReductionType::f32, units::Reduction::add, at,
                        reinterpret_cast<const std::byte*>(&b));
  const std::uint32_t sum = flushed(at);
  std::memcpy(at, &sum, 4);
}

void run_element(const Atomic& atomic, Warp& warp, std::byte* at, std::size_t i, int lane,
                 bool flushes) {
  const std::byte* const value = lane_at(warp, atomic.b[i], atomic.bytes, lane);
  std::byte old[8];
  std::memcpy(old, at, atomic.bytes);
  switch (atomic.kind) {
    case Kind::reduce:
      if (flushes) {
        add_flushed(at, value);
        break;
      }
      for (std::size_t e = 0; e < atomic.bytes; e += atomic.element)
        units::reduce_element(atomic.type, atomic.reduction, at + e, value + e);
      break;
    case Kind::exchange:
      std::memcpy(at, value, atomic.bytes);
      break;
    case Kind::compare:
      if (std::memcmp(old, value, atomic.bytes) == 0)
        std::memcpy(at, lane_at(warp, atomic.c[i], atomic.bytes, lane), atomic.bytes);
      break;
  }
  if (atomic.d.empty()) return;
  std::byte* const d = lane_at(warp, atomic.d[i], atomic.bytes, lane);
  if (atomic.bytes == 2) std::memset(d, 0, 4);
  std::memcpy(d, old, atomic.bytes);
}

std::uint64_t lane_address(const MicroOp& op, const Atomic& atomic, const Warp& warp, int lane) {
  const auto offset = static_cast<std::uint64_t>(op.value);
  if (atomic.base == kNowhere) return offset;
  return offset + (atomic.wide ? warp.lanes<std::uint64_t>(atomic.base)[lane]
                               : warp.lanes<std::uint32_t>(atomic.base)[lane]);
}

/// Whether the address lies in shared memory; it is then made a shared one.
bool in_shared(const Atomic& atomic, std::uint64_t& address) {
  if (atomic.space != Space::generic) return atomic.space == Space::shared;
  if (!in_shared_window(address)) return false;
  address -= kSharedWindow;
  return true;
}

void tell_atomic(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                 Moment moment) {
  if (moment == Moment::after) return;
  const Atomic& atomic = *static_cast<const Atomic*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    std::uint64_t address = lane_address(op, atomic, warp, lane);
    if (in_shared(atomic, address))
      witness.atomic(warp, static_cast<std::uint32_t>(address),
                     static_cast<std::uint32_t>(atomic.bytes * atomic.b.size()));
    else if (in_global(address))
      witness.global(warp, Witness::GlobalAccess::atomic, address, atomic.bytes * atomic.b.size());
  });
}

Step run_atomic(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Atomic& atomic = *static_cast<const Atomic*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    const std::uint64_t address = lane_address(op, atomic, warp, lane);
    std::uint64_t where = address;
    const bool flushes = atomic.sum_flushes && !in_shared(atomic, where);
    std::byte* const at = locate(warp, atomic.space, address, atomic.bytes * atomic.b.size(), lane,
                                 MemoryAccess::write);
    for (std::size_t i = 0; i < atomic.b.size(); ++i)
      run_element(atomic, warp, at + i * atomic.bytes, i, lane, flushes);
  });
  return Step::next;
}

std::vector<Operand> elements(const Operand& value) {
  return value.kind == OperandKind::vector ? value.parts : std::vector<Operand>{value};
}

}  // namespace

void decode_atomic(Decoder& in) {
  if (in.instruction().opcode.starts_with("red.async.")) return decode_async_store(in);
  units::Opcode opcode(in.instruction().opcode);
  const bool returns = opcode.base() == "atom";
  Atomic atomic{.space = take_space(opcode)};
  if (!returns && (opcode.take("acq_rel") || opcode.take("acquire")))
    in.refuse("it gives nothing that could acquire");
  take_hints(opcode);
  const bool unflushed = opcode.take("noftz");
  const auto vector = opcode.take_one_of({"v2", "v4", "v8"});
  const std::string name(
      opcode.take_one_of({"exch", "cas", "add", "min", "max", "inc", "dec", "and", "or", "xor"}));
  if (name.empty()) opcode.refuse("the operation is missing");
  std::string type(opcode.take_last());
  opcode.expect_nothing_left();
  const std::size_t copies = vector.empty() ? 1 : static_cast<std::size_t>(vector[1] - '0');
  const bool packed = type == "f16x2" || type == "bf16x2";
  const bool half = packed || type == "f16" || type == "bf16";
  if (half != unflushed) in.refuse(".noftz stands with halves, and only there");
  const bool extreme = name == "min" || name == "max", real = half || type[0] == 'f';
  if ((name == "add" && type == "s64") || (extreme && real && (!half || vector.empty())) ||
      (!vector.empty() && ((!half && type != "f32") || atomic.space == Space::shared)))
    in.refuse("this operation has no such type");
  atomic.kind = name == "exch" ? Kind::exchange : name == "cas" ? Kind::compare : Kind::reduce;
  if (type == "b16" && atomic.kind == Kind::compare) {
    atomic.bytes = 2;
  } else {
    if (packed) type.resize(type.size() - 2);
    atomic.type = units::reduction_type(type);
    atomic.element = static_cast<std::size_t>(units::reduction_type_bytes(atomic.type));
    atomic.bytes = packed ? 4 : atomic.element;
  }
  if (atomic.kind == Kind::reduce) atomic.reduction = units::reduction(name);
  atomic.sum_flushes = type == "f32" && atomic.kind == Kind::reduce && name == "add";
  const std::size_t first = returns ? 1 : 0;
  const int bits = atomic.bytes == 8 ? 64 : 32;
  in.require_operands(first + (atomic.kind == Kind::compare ? 3 : 2), first + 4);
  for (const Operand& each : elements(in.operand(first + 1)))
    atomic.b.push_back(in.read(each, bits));
  if (atomic.kind == Kind::compare)
    for (const Operand& each : elements(in.operand(first + 2)))
      atomic.c.push_back(in.read(each, bits));
  if (returns)
    for (const Operand& each : elements(in.operand(0))) atomic.d.push_back(in.write(each, bits));
  if (atomic.b.size() != copies || (returns && atomic.d.size() != copies))
    in.refuse("the vector has another length than the opcode says");
  const AddressOperand at = in.address(in.operand(first));
  atomic.base = at.base;
  atomic.wide = at.wide;
  if (atomic.space != Space::shared) {
    in.program().atomic = true;
    const std::string& name_of_it = in.instruction().opcode;
    const auto has = [&](const char* part) { return name_of_it.find(part) != std::string::npos; };
    // A result that nobody can look at, of an operation that releases nothing, orders nothing.
    if (returns || has(".release") || has(".acq_rel")) in.program().synchronizes = true;
  }
  MicroOp& op = in.emit(run_atomic);
  op.value = at.offset;
  op.tell = tell_atomic;
  op.detail = in.keep(std::move(atomic));
}

}  // namespace karat::ptx
