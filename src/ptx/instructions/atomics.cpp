// atom and red: one lane after the other, from the lowest.
#include <bit>
#include <cstring>

#include "execute/locate.hpp"
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
  std::size_t bytes = 4;       ///< of an element
  std::vector<Place> d, b, c;  ///< per element; d empty for red
  Place base = kNowhere;
  bool wide = false;
};

std::byte* lane_at(const Warp& warp, Place place, std::size_t bytes, int lane) {
  return warp.file + place + static_cast<std::size_t>(lane) * (bytes == 8 ? 8 : 4);
}

void run_element(const Atomic& atomic, Warp& warp, std::byte* at, std::size_t i, int lane) {
  const std::byte* const value = lane_at(warp, atomic.b[i], atomic.bytes, lane);
  std::byte old[8];
  std::memcpy(old, at, atomic.bytes);
  switch (atomic.kind) {
    case Kind::reduce:
      units::reduce_element(atomic.type, atomic.reduction, at, value);
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

Step run_atomic(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Atomic& atomic = *static_cast<const Atomic*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    std::uint64_t address = static_cast<std::uint64_t>(op.value);
    if (atomic.base != kNowhere)
      address += atomic.wide ? warp.lanes<std::uint64_t>(atomic.base)[lane]
                             : warp.lanes<std::uint32_t>(atomic.base)[lane];
    std::byte* const at = locate(warp, atomic.space, address, atomic.bytes * atomic.b.size(), lane,
                                 MemoryAccess::write);
    for (std::size_t i = 0; i < atomic.b.size(); ++i)
      run_element(atomic, warp, at + i * atomic.bytes, i, lane);
  });
  return Step::next;
}

std::vector<Operand> elements(const Operand& value) {
  return value.kind == OperandKind::vector ? value.parts : std::vector<Operand>{value};
}

}  // namespace

void decode_atomic(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  const bool returns = opcode.base() == "atom";
  Atomic atomic{.space = take_space(opcode)};
  if (opcode.take("async")) in.refuse("red.async is not supported");
  take_hints(opcode);
  opcode.take("noftz");
  const auto vector = opcode.take_one_of({"v2", "v4", "v8"});
  const std::string type(opcode.take_last());
  const std::string name(opcode.take_first());
  opcode.expect_nothing_left();
  const bool packed = type == "f16x2" || type == "bf16x2";
  std::size_t copies = vector.empty() ? 1 : static_cast<std::size_t>(vector[1] - '0');
  if (packed) in.refuse("packed atomics are not supported");
  atomic.type = units::reduction_type(type);
  atomic.bytes = static_cast<std::size_t>(units::reduction_type_bytes(atomic.type));
  atomic.kind = name == "exch" ? Kind::exchange : name == "cas" ? Kind::compare : Kind::reduce;
  if (atomic.kind == Kind::reduce) atomic.reduction = units::reduction(name);
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
  if (atomic.space != Space::shared) in.program().atomic = true;
  MicroOp& op = in.emit(run_atomic);
  op.value = at.offset;
  op.detail = in.keep(std::move(atomic));
}

}  // namespace karat::ptx
