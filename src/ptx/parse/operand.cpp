// Operands: registers, numbers, names, [addresses], {vectors}, a|b.
#include "parse/cursor.hpp"

namespace karat::ptx {
namespace {

Operand take_number(Cursor& in, bool minus) {
  const Token& token = in.take();
  Operand operand{.bits = token.bits};
  switch (token.kind) {
    case TokenKind::f32:
      operand.kind = OperandKind::f32;
      if (minus) operand.bits ^= 0x80000000u;
      return operand;
    case TokenKind::f64:
      operand.kind = OperandKind::f64;
      if (minus) operand.bits ^= std::uint64_t{1} << 63;
      return operand;
    default:
      operand.kind = OperandKind::immediate;
      if (minus) operand.bits = -operand.bits;
      return operand;
  }
}

std::vector<Operand> take_list(Cursor& in, std::string_view end, int depth) {
  std::vector<Operand> parts;
  while (!in.at(end)) {
    parts.push_back(take_operand(in, depth + 1));
    if (!in.take_if(",")) break;
  }
  in.require(end);
  return parts;
}

/// [base + offset, ...]
Operand take_address(Cursor& in, int depth) {
  Operand address{.kind = OperandKind::address};
  address.parts.push_back(take_operand(in, depth + 1));
  for (bool minus = false; (minus = in.at("-")) || in.at("+");) {
    in.take();
    if (in.take_if("-")) minus = !minus;
    const std::uint64_t offset = in.require_integer("an offset");
    address.bits += minus ? -offset : offset;
  }
  while (in.take_if(",")) address.parts.push_back(take_operand(in, depth + 1));
  in.require("]");
  return address;
}

}  // namespace

Operand take_operand(Cursor& in, int depth) {
  if (depth > 4) in.fail("an operand is nested too deep");
  if (in.take_if("[")) return take_address(in, depth);
  if (in.take_if("{")) return {.kind = OperandKind::vector, .parts = take_list(in, "}", depth)};
  if (in.take_if("(")) return {.kind = OperandKind::list, .parts = take_list(in, ")", depth)};
  const bool negated = in.take_if("!");
  const bool minus = !negated && in.take_if("-");
  switch (in.peek().kind) {
    case TokenKind::integer:
    case TokenKind::f32:
    case TokenKind::f64:
      if (negated) in.fail("\"!\" stands before predicates only");
      return take_number(in, minus);
    case TokenKind::word: {
      Operand operand{.kind = OperandKind::name, .negated = negated};
      if (minus) in.fail("a minus stands before numbers only");
      operand.name = std::string(in.take().text);
      if (operand.name == "_") operand.kind = OperandKind::sink;
      if (depth == 0 && in.take_if("|")) {
        Operand second = take_operand(in, depth + 1);
        return {.kind = OperandKind::pair, .parts = {std::move(operand), std::move(second)}};
      }
      // name+4 outside brackets: an address as a number
      if (depth == 0 && (in.at("+") || in.at("-"))) {
        const bool down = in.take().text == "-";
        const std::uint64_t offset = in.require_integer("an offset");
        operand.bits = down ? -offset : offset;
      }
      return operand;
    }
    default:
      in.fail("an operand is missing before " + in.shown());
  }
}

}  // namespace karat::ptx
