// Private: the fundamental types of PTX (PTX ISA 9.1, 5.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace karat::ptx {

enum class TypeClass : std::uint8_t { bits, unsigned_integer, signed_integer, floating, predicate };

struct Type {
  TypeClass kind = TypeClass::bits;
  std::uint8_t bytes = 4;  ///< 0 for predicates

  friend bool operator==(const Type&, const Type&) = default;
};

struct NamedType {
  std::string_view name;
  Type type;
};

inline constexpr NamedType kTypes[] = {
    {"b8", {TypeClass::bits, 1}},
    {"b16", {TypeClass::bits, 2}},
    {"b32", {TypeClass::bits, 4}},
    {"b64", {TypeClass::bits, 8}},
    {"b128", {TypeClass::bits, 16}},
    {"u8", {TypeClass::unsigned_integer, 1}},
    {"u16", {TypeClass::unsigned_integer, 2}},
    {"u32", {TypeClass::unsigned_integer, 4}},
    {"u64", {TypeClass::unsigned_integer, 8}},
    {"s8", {TypeClass::signed_integer, 1}},
    {"s16", {TypeClass::signed_integer, 2}},
    {"s32", {TypeClass::signed_integer, 4}},
    {"s64", {TypeClass::signed_integer, 8}},
    {"f16", {TypeClass::floating, 2}},
    {"bf16", {TypeClass::floating, 2}},
    {"f16x2", {TypeClass::floating, 4}},
    {"bf16x2", {TypeClass::floating, 4}},
    {"f32", {TypeClass::floating, 4}},
    {"f64", {TypeClass::floating, 8}},
    {"pred", {TypeClass::predicate, 0}},
};

/// "s32" -> its type, without the dot.
inline std::optional<Type> type_named(std::string_view name) {
  for (const NamedType& row : kTypes)
    if (row.name == name) return row.type;
  return std::nullopt;
}

}  // namespace karat::ptx
