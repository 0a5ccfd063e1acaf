// Declarations of variables and parameters with their initialisers (PTX ISA 9.1, 5.4).
#include <algorithm>

#include "parse/cursor.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint64_t kLargest = std::uint64_t{1} << 28;

/// Numbers of an initialiser, nested as the array is; names become relocations.
void take_values(Cursor& in, Variable& variable, int depth = 0) {
  if (depth > 8) in.fail("braces of an initialiser are nested too deep");
  if (in.take_if("{")) {
    while (!in.at("}")) {
      take_values(in, variable, depth + 1);
      if (!in.take_if(",")) break;
    }
    in.require("}");
    return;
  }
  const std::size_t size = variable.type.bytes;
  if (variable.initial.size() + size > variable.bytes && variable.bytes > 0)
    in.fail("the initialiser of " + variable.name + " is longer than the variable");
  const bool minus = in.take_if("-");
  const Token& token = in.peek();
  std::uint64_t bits = token.bits;
  if (token.kind == TokenKind::word) {
    const bool generic = token.text == "generic";
    in.take();
    if (generic) in.require("(");
    Relocation relocation{
        .offset = variable.initial.size(),
        .symbol = generic ? in.require_word("a variable") : std::string(token.text)};
    if (generic) in.require(")");
    if (in.take_if("+"))
      relocation.addend = static_cast<std::int64_t>(in.require_integer("an offset"));
    variable.relocations.push_back(std::move(relocation));
    bits = 0;
  } else if (token.kind == TokenKind::integer || token.kind == TokenKind::f32) {
    in.take();
  } else if (token.kind == TokenKind::f64) {
    in.take();
    if (size == 4) in.fail("write f32 values of an initialiser as 0f...");
  } else {
    in.fail("a value is missing before " + in.shown());
  }
  if (minus) bits = -bits;
  for (std::size_t i = 0; i < size; ++i)
    variable.initial.push_back(i < 8 ? static_cast<std::uint8_t>(bits >> (8 * i)) : 0);
}

}  // namespace

std::optional<Type> take_type(Cursor& in) {
  if (in.peek().kind != TokenKind::directive) return std::nullopt;
  const auto type = type_named(in.peek().text.substr(1));
  if (type) in.take();
  return type;
}

Variable take_variable(Cursor& in, Space space) {
  Variable variable{.space = space, .line = in.line()};
  std::uint64_t lanes = 1, align = 0;
  bool typed = false;
  for (;;) {
    if (in.take_if(".align")) {
      align = in.require_integer("an alignment");
      if (align == 0 || (align & (align - 1)) != 0 || align > 1024)
        in.fail("alignments are powers of two up to 1024");
    } else if (in.take_if(".attribute")) {  // .managed, .unified: where the host sees it
      while (!in.done() && !in.at(";") && !in.take_if(")")) in.take();
    } else if (in.take_if(".v2")) {
      lanes = 2;
    } else if (in.take_if(".v4")) {
      lanes = 4;
    } else if (in.take_if(".ptr")) {
      for (const char* each : {".global", ".shared", ".const", ".local"}) in.take_if(each);
      if (in.take_if(".align")) in.require_integer("an alignment");
    } else if (const auto type = take_type(in)) {
      variable.type = *type;
      typed = true;
    } else if (in.take_if(".texref") || in.take_if(".samplerref") || in.take_if(".surfref")) {
      in.fail("textures, samplers and surfaces are not supported");
    } else {
      break;
    }
  }
  if (!typed) in.fail("a type is missing before " + in.shown());
  if (variable.type.kind == TypeClass::predicate) in.fail("predicates lie in registers only");
  variable.name = in.require_word("a name");
  variable.bytes = lanes * variable.type.bytes;
  variable.align = std::max(align, variable.bytes);
  while (in.take_if("[")) {
    const std::uint64_t count = in.at("]") ? 0 : in.require_integer("a size");
    in.require("]");
    if (count > kLargest || variable.bytes * count > kLargest)
      in.fail(variable.name + " is larger than 256 MiB");
    variable.bytes *= count;
  }
  if (in.take_if("=")) {
    take_values(in, variable);
    if (variable.bytes == 0) variable.bytes = variable.initial.size();
  }
  return variable;
}

}  // namespace karat::ptx
