// mov with its packing and unpacking of vectors, selp, clocks.
#include <cstring>

#include "execute/run.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"
#include "program/special.hpp"

namespace karat::ptx {
namespace {

template <typename Lane>
Step run_copy(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  if (lanes == ~0u)
    std::memmove(warp.file + op.d, warp.file + op.a, sizeof(Lane) * units::kLanes);
  else
    merge(warp.lanes<Lane>(op.d), warp.lanes<Lane>(op.a), lanes);
  return Step::next;
}

Step run_copy_predicate(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  merge_bits(warp.predicate(op.d), warp.predicate(op.a), lanes);
  return Step::next;
}

template <typename Lane>
Step run_select(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const std::uint32_t choice = warp.predicate(op.c);
  const Lane *a = warp.lanes<Lane>(op.a), *b = warp.lanes<Lane>(op.b);
  alignas(64) Lane result[units::kLanes];
  for (int l = 0; l < units::kLanes; ++l) result[l] = (choice >> l & 1) != 0 ? a[l] : b[l];
  merge(warp.lanes<Lane>(op.d), result, lanes);
  return Step::next;
}

/// Elements of a register, each `bits` wide, the first lowest.
struct Parts {
  std::vector<Place> places;
  bool wide = false;  ///< the whole has 64 bits
  int bits = 16;      ///< of an element
};

std::uint64_t low_bits(int bits) {
  return bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}

Step run_pack(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Parts& parts = *static_cast<const Parts*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    std::uint64_t whole = 0;
    for (std::size_t i = 0; i < parts.places.size(); ++i)
      whole |= (warp.lanes<std::uint32_t>(parts.places[i])[lane] & low_bits(parts.bits))
               << (static_cast<int>(i) * parts.bits);
    if (parts.wide)
      warp.lanes<std::uint64_t>(op.d)[lane] = whole;
    else
      warp.lanes<std::uint32_t>(op.d)[lane] = static_cast<std::uint32_t>(whole);
  });
  return Step::next;
}

Step run_unpack(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Parts& parts = *static_cast<const Parts*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    const std::uint64_t whole =
        parts.wide ? warp.lanes<std::uint64_t>(op.a)[lane] : warp.lanes<std::uint32_t>(op.a)[lane];
    for (std::size_t i = 0; i < parts.places.size(); ++i)
      warp.lanes<std::uint32_t>(parts.places[i])[lane] = static_cast<std::uint32_t>(
          whole >> (static_cast<int>(i) * parts.bits) & low_bits(parts.bits));
  });
  return Step::next;
}

/// The vector's part of a mov of `bits`.
Parts parts_of(Decoder& in, const Operand& vector, int bits) {
  const int count = static_cast<int>(vector.parts.size());
  if ((count != 2 && count != 4) || bits / count < 8 || bits / count > 32)
    in.refuse("a vector of two or four registers of 8, 16 or 32 bits is needed");
  return {.wide = bits == 64, .bits = bits / count};
}

int bits_of(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  const auto type = type_named(opcode.substr(opcode.rfind('.') + 1));
  if (!type || type->bytes == 1 || type->bytes == 16) in.refuse("this type is not supported");
  return type->bytes * 8;
}

}  // namespace

/// mov.v4.u32 {x, y, z, w}, %tid: the parts of a special register, the fourth is 0.
static void decode_parts(Decoder& in) {
  const Operand &to = in.operand(0), &from = in.operand(1);
  if (from.kind != OperandKind::special || to.kind != OperandKind::vector || to.parts.size() != 4)
    in.refuse("only a special register goes into a vector of four");
  static constexpr const char* kParts[] = {".x", ".y", ".z"};
  for (std::size_t i = 0; i < 4; ++i) {
    Operand part = from;
    if (i < 3) part.name += kParts[i];
    const Place a = i < 3 ? in.read(part, 32) : in.constant_place(0, 32);
    const Place d = in.write(to.parts[i], 32);
    MicroOp& op = in.emit(run_copy<std::uint32_t>);
    op.a = a;
    op.d = d;
  }
}

void decode_mov(Decoder& in) {
  in.require_operands(2, 2);
  if (in.instruction().opcode.starts_with("mov.v4.")) return decode_parts(in);
  const Operand &to = in.operand(0), &from = in.operand(1);
  const int bits = bits_of(in), width = bits == 64 ? 64 : 32;
  if (bits == 0) {
    const Place a = in.read_predicate(from), d = in.write_predicate(to);
    MicroOp& op = in.emit(run_copy_predicate);
    op.a = a;
    op.d = d;
    return;
  }
  if (to.kind == OperandKind::vector) {
    Parts parts = parts_of(in, to, bits);
    for (const Operand& each : to.parts) parts.places.push_back(in.write(each, 32));
    const Place a = in.read(from, width);
    MicroOp& op = in.emit(run_unpack);
    op.a = a;
    op.detail = in.keep(std::move(parts));
    return;
  }
  if (from.kind == OperandKind::vector) {
    Parts parts = parts_of(in, from, bits);
    for (const Operand& each : from.parts) parts.places.push_back(in.read(each, 32));
    const Place d = in.write(to, width);
    MicroOp& op = in.emit(run_pack);
    op.d = d;
    op.detail = in.keep(std::move(parts));
    return;
  }
  if (const auto special =
          from.kind == OperandKind::special ? special_named(from.name) : std::nullopt;
      special && special->bytes > 0 && special->bytes * 8 != bits && bits > 16)
    in.refuse(from.name + " has " + std::to_string(special->bytes * 8) + " bits");
  const Place a = in.read(from, width), d = in.write(to, width);
  MicroOp& op = in.emit(width == 64 ? run_copy<std::uint64_t> : run_copy<std::uint32_t>);
  op.a = a;
  op.d = d;
}

void decode_selp(Decoder& in) {
  in.require_operands(4, 4);
  const int width = bits_of(in) == 64 ? 64 : 32;
  const Place a = in.read(in.operand(1), width), b = in.read(in.operand(2), width);
  const Place c = in.read_predicate(in.operand(3)), d = in.write(in.operand(0), width);
  MicroOp& op = in.emit(width == 64 ? run_select<std::uint64_t> : run_select<std::uint32_t>);
  op.a = a;
  op.b = b;
  op.c = c;
  op.d = d;
}

Step read_clock(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const auto which = static_cast<Special>(op.value & 0xFF);
  const std::uint64_t now = special_value(which, warp, 0);
  for_lanes(lanes, [&](int lane) {
    if (op.value >> 8 == 8)
      warp.lanes<std::uint64_t>(op.d)[lane] = now;
    else
      warp.lanes<std::uint32_t>(op.d)[lane] = static_cast<std::uint32_t>(now);
  });
  return Step::next;
}

}  // namespace karat::ptx
