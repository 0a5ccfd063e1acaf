// Operands become places in the register file.
#include <bit>

#include "instructions/families.hpp"
#include "program/decoder.hpp"
#include "program/special.hpp"

namespace karat::ptx {
namespace {

/// What takes the minus of an operand, by the type the instruction ends with.
std::string_view negation(int bits, std::string_view opcode) {
  if (bits == 64) return "neg.f64";
  static constexpr std::string_view kHalves[] = {"neg.bf16x2", "neg.f16x2", "neg.bf16", "neg.f16"};
  for (const std::string_view each : kHalves)
    if (opcode.ends_with(each.substr(3))) return each;
  return "neg.f32";
}

constexpr std::size_t kLane32 = 32 * 4, kLane64 = 32 * 8;

}  // namespace

Place Decoder::new_place(int bits) {
  const Place place = static_cast<Place>(program_.file_bytes);
  program_.file_bytes += bits == 64 ? kLane64 : kLane32;
  return place;
}

Place Decoder::new_predicate() {
  if (predicates_ == kNowhere || predicates_ % kLane32 == 0) predicates_ = new_place(32);
  const Place place = predicates_;
  predicates_ += 4;
  return place;
}

Place Decoder::carry_place() {
  if (carry_ == kNowhere) carry_ = new_predicate();
  return carry_;
}

Place Decoder::constant_place(std::uint64_t bits, int width) {
  if (width == 32) bits &= 0xFFFFFFFF;
  const auto [found, fresh] = constants_[width == 64].emplace(bits, kNowhere);
  if (fresh) {
    found->second = new_place(width);
    program_.constants.push_back({found->second, bits, static_cast<std::uint8_t>(width / 8)});
  }
  return found->second;
}

Place Decoder::register_place(std::uint32_t number) {
  Place& place = places_[number];
  const Type& type = program_.function->registers[number].type;
  if (place == kNowhere)
    place =
        type.kind == TypeClass::predicate ? new_predicate() : new_place(type.bytes == 8 ? 64 : 32);
  return place;
}

const Type& Decoder::type_of(const Operand& reg) const {
  return program_.function->registers[reg.index].type;
}

int Decoder::width_of(const Operand& operand) const {
  if (is_register(operand)) return type_of(operand).bytes == 8 ? 64 : 32;
  return 32;
}

std::uint64_t Decoder::address_of(const Operand& operand) const {
  switch (operand.kind) {
    case OperandKind::variable:
      return addresses_[operand.index];
    case OperandKind::local_variable:
      return local_addresses_[operand.index];
    default:
      return program_.parameters[operand.index].offset;
  }
}

std::uint64_t Decoder::immediate_bits(const Operand& operand, int bits) const {
  switch (operand.kind) {
    case OperandKind::immediate:
      return operand.bits;
    case OperandKind::f32:
      if (bits == 64 && instruction_->opcode.ends_with("f64"))
        return std::bit_cast<std::uint64_t>(
            double{std::bit_cast<float>(static_cast<std::uint32_t>(operand.bits))});
      return operand.bits;
    case OperandKind::f64:
      if (bits == 64) return operand.bits;
      return std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(operand.bits)));
    case OperandKind::variable:
    case OperandKind::local_variable:
    case OperandKind::parameter:
      return address_of(operand) + operand.bits;
    default:
      refuse("an operand is neither a register nor a number");
  }
}

Place Decoder::read(const Operand& operand, int bits) {
  if (operand.kind == OperandKind::special) {
    const auto special = special_named(operand.name);
    if (!special) refuse(operand.name + " is declared nowhere and no special register");
    if (special->bytes == 0) refuse(operand.name + " is a predicate");
    Place place = kNowhere;
    if (is_clock(special->which)) {
      place = new_place(special->bytes * 8);
      MicroOp& op = emit(read_clock);
      op.d = place;
      op.value = static_cast<std::int64_t>(special->which) | special->bytes << 8;
    } else {
      const auto [found, fresh] = specials_.emplace(operand.name, kNowhere);
      if (fresh) {
        found->second = new_place(special->bytes * 8);
        program_.specials.push_back({found->second, special->which, special->bytes});
      }
      place = found->second;
    }
    if (special->bytes * 8 == bits) return place;
    const Place same = new_place(bits);
    emit_lane(bits == 64 ? "cvt.u64.u32" : "cvt.u32.u64", same, place);
    return same;
  }
  if (!is_register(operand)) return constant_place(immediate_bits(operand, bits), bits);
  const Type& type = type_of(operand);
  if (type.kind == TypeClass::predicate)
    refuse(program_.function->registers[operand.index].name + " is a predicate");
  const int width = type.bytes == 8 ? 64 : 32;
  Place place = register_place(operand.index);
  if (width < bits || (width > bits && !instruction_->opcode.starts_with("cvt.")))
    refuse("an operand has " + std::to_string(bits) + " bits, " +
           program_.function->registers[operand.index].name + " has not");
  if (width != bits) {
    const Place same = new_place(bits);
    emit_lane(bits == 64 ? "cvt.u64.u32" : "cvt.u32.u64", same, place);
    place = same;
  }
  if (!operand.negated) return place;
  const Place negative = new_place(bits);
  emit_lane(negation(bits, instruction_->opcode), negative, place);
  return negative;
}

Place Decoder::write(const Operand& operand, int bits) {
  if (operand.kind == OperandKind::sink) return new_place(bits);
  if (!is_register(operand)) refuse("a result goes into a register");
  const Type& type = type_of(operand);
  if (type.kind == TypeClass::predicate || (type.bytes == 8 ? 64 : 32) != bits)
    refuse("the result has " + std::to_string(bits) + " bits, " +
           program_.function->registers[operand.index].name + " has not");
  return register_place(operand.index);
}

Place Decoder::write_predicate(const Operand& operand) {
  if (operand.kind == OperandKind::sink) return new_predicate();
  if (!is_register(operand) || type_of(operand).kind != TypeClass::predicate)
    refuse("a predicate is missing among its operands");
  return register_place(operand.index);
}

Place Decoder::read_predicate(const Operand& operand) {
  Place place = kNowhere;
  if (operand.kind == OperandKind::immediate) {
    place = new_predicate();
    program_.constants.push_back({place, operand.bits != 0 ? ~std::uint64_t{0} : 0, 0});
  } else if (operand.kind == OperandKind::special) {
    const auto special = special_named(operand.name);
    if (!special || special->bytes != 0) refuse(operand.name + " is no predicate");
    place = new_predicate();
    program_.specials.push_back({place, special->which, 0});
  } else if (operand.kind == OperandKind::sink) {
    refuse("a predicate is missing among its operands");
  } else {
    place = write_predicate(operand);
  }
  if (!operand.negated) return place;
  const Place inverse = new_predicate();
  MicroOp& op = emit(invert_predicate);
  op.d = inverse;
  op.a = place;
  return inverse;
}

AddressOperand Decoder::address(const Operand& operand) {
  if (operand.kind != OperandKind::address) refuse("an address in brackets is missing");
  const Operand& base = operand.parts[0];
  AddressOperand result{.offset = static_cast<std::int64_t>(operand.bits)};
  if (is_register(base)) {
    const Type& type = type_of(base);
    if (type.bytes != 4 && type.bytes != 8) refuse("an address has 32 or 64 bits");
    result.wide = type.bytes == 8;
    result.base = register_place(base.index);
  } else {
    result.offset += static_cast<std::int64_t>(immediate_bits(base, 64));
  }
  return result;
}

Place Decoder::address32(const Operand& operand) {
  const AddressOperand at = address(operand);
  if (at.base == kNowhere) return constant_place(static_cast<std::uint64_t>(at.offset), 32);
  Place base = at.base;
  if (at.wide) {
    base = new_place(32);
    emit_lane("cvt.u32.u64", base, at.base);
  }
  if (at.offset == 0) return base;
  const Place sum = new_place(32);
  emit_lane("add.u32", sum, base, constant_place(static_cast<std::uint64_t>(at.offset), 32));
  return sum;
}

std::int64_t Decoder::constant(const Operand& operand) {
  if (operand.kind != OperandKind::immediate) refuse("an operand must be a number");
  return static_cast<std::int64_t>(operand.bits);
}

}  // namespace karat::ptx
