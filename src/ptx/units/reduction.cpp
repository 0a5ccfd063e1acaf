// One element of a reduction in memory.
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "units/tensor_copy.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;

constexpr std::string_view kNames[] = {"add", "min", "max", "inc", "dec", "and", "or", "xor"};
constexpr std::string_view kTypeNames[] = {"u32",  "s32", "u64", "s64", "f16",
                                           "bf16", "f32", "f64", "b32", "b64"};

[[noreturn]] void refuse(ReductionType type, Reduction operation) {
  throw Error(ErrorKind::usage, "reduction",
              "no " + std::string(kNames[static_cast<std::size_t>(operation)]) + " of " +
                  std::string(kTypeNames[static_cast<std::size_t>(type)]));
}

/// The smaller or larger; one NaN loses, two stay NaN; -0 is below +0.
template <typename T>
T extreme(Reduction operation, T a, T b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) {
    const T negative = std::signbit(a) ? a : b, positive = std::signbit(a) ? b : a;
    return operation == Reduction::min ? negative : positive;
  }
  return (a < b) == (operation == Reduction::min) ? a : b;
}

template <typename T>
T reduce_floating(ReductionType type, Reduction operation, T a, T b) {
  switch (operation) {
    case Reduction::add:
      return a + b;
    case Reduction::min:
    case Reduction::max:
      return extreme(operation, a, b);
    default:
      refuse(type, operation);
  }
}

/// f16 and bf16 by way of f32: 24 bits are enough (2 * 11 + 2) to round a sum twice.
std::uint16_t reduce_half(ReductionType type, Reduction operation, std::uint16_t a,
                          std::uint16_t b) {
  const FormatId format = type == ReductionType::f16 ? FormatId::f16 : FormatId::bf16;
  const float sum =
      reduce_floating(type, operation, numerics::decode(a, format), numerics::decode(b, format));
  if (std::isnan(sum)) return 0x7FFF;
  return static_cast<std::uint16_t>(numerics::encode(sum, format, numerics::kAsComputed));
}

template <typename T>
T reduce_integer(ReductionType type, Reduction operation, T a, T b) {
  using Unsigned = std::make_unsigned_t<T>;
  const bool counts = type == ReductionType::u32;  // inc and dec
  const bool typed = type != ReductionType::b32 && type != ReductionType::b64;
  switch (operation) {
    case Reduction::add:
      if (!typed) break;
      return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
    case Reduction::min:
      if (!typed) break;
      return a < b ? a : b;
    case Reduction::max:
      if (!typed) break;
      return a < b ? b : a;
    case Reduction::inc:
      if (!counts) break;
      return a >= b ? T{0} : static_cast<T>(a + 1);
    case Reduction::dec:
      if (!counts) break;
      return a == 0 || a > b ? b : static_cast<T>(a - 1);
    case Reduction::bit_and:
      return a & b;
    case Reduction::bit_or:
      return a | b;
    case Reduction::bit_xor:
      return a ^ b;
  }
  refuse(type, operation);
}

template <typename T, typename Combine>
void in_place(std::byte* target, const std::byte* source, Combine combine) {
  T a, b;
  std::memcpy(&a, target, sizeof a);
  std::memcpy(&b, source, sizeof b);
  a = combine(a, b);
  std::memcpy(target, &a, sizeof a);
}

template <typename T>
T canonical(T x) {
  if (!std::isnan(x)) return x;
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<float>(0x7FFFFFFFu);
  } else {
    return std::bit_cast<double>(std::uint64_t{0xFFF8000000000000});
  }
}

}  // namespace

Reduction reduction(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<Reduction>(i);
  }
  throw Error(ErrorKind::usage, "reduction", "no operation '" + std::string(name) + "'");
}

ReductionType reduction_type(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kTypeNames); ++i) {
    if (kTypeNames[i] == name) return static_cast<ReductionType>(i);
  }
  throw Error(ErrorKind::usage, "reduction", "no element type '" + std::string(name) + "'");
}

int reduction_type_bytes(ReductionType type) {
  switch (type) {
    case ReductionType::f16:
    case ReductionType::bf16:
      return 2;
    case ReductionType::u64:
    case ReductionType::s64:
    case ReductionType::f64:
    case ReductionType::b64:
      return 8;
    default:
      return 4;
  }
}

void reduce_element(ReductionType type, Reduction operation, std::byte* target,
                    const std::byte* source) {
  const auto integer = [&](auto a, auto b) { return reduce_integer(type, operation, a, b); };
  const auto floating = [&](auto a, auto b) {
    return canonical(reduce_floating(type, operation, a, b));
  };
  switch (type) {
    case ReductionType::u32:
    case ReductionType::b32:
      return in_place<std::uint32_t>(target, source, integer);
    case ReductionType::s32:
      return in_place<std::int32_t>(target, source, integer);
    case ReductionType::u64:
    case ReductionType::b64:
      return in_place<std::uint64_t>(target, source, integer);
    case ReductionType::s64:
      return in_place<std::int64_t>(target, source, integer);
    case ReductionType::f32:
      return in_place<float>(target, source, floating);
    case ReductionType::f64:
      return in_place<double>(target, source, floating);
    case ReductionType::f16:
    case ReductionType::bf16:
      return in_place<std::uint16_t>(target, source, [&](std::uint16_t a, std::uint16_t b) {
        return reduce_half(type, operation, a, b);
      });
  }
}

}  // namespace karat::ptx::units
