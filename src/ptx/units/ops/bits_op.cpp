// Logic, shifts, moves, selections of lanes. PTX ISA, "Logic and Shift Instructions", "mov",
// "Comparison and Selection Instructions" (selp, slct).
// clang-format off
#include "units/ops/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "units/ops/bits_op.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "units/ops/loops-inl.hpp"
// clang-format on

#include <bit>
#include <type_traits>

#include "units/ops/families.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::ptx::units::HWY_NAMESPACE {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;

template <typename W>
struct And {
  static HWY_INLINE W Of(W a, W b) { return a & b; }
};
template <typename W>
struct Or {
  static HWY_INLINE W Of(W a, W b) { return a | b; }
};
template <typename W>
struct Xor {
  static HWY_INLINE W Of(W a, W b) { return a ^ b; }
};
/// Of the low kWidth bits.
template <typename W, int kWidth>
struct Not {
  static HWY_INLINE W Of(W a) { return static_cast<W>(~a & (~W{0} >> (8 * sizeof(W) - kWidth))); }
};
template <typename W>
struct CNot {
  static HWY_INLINE W Of(W a) { return a == 0; }
};
template <typename W>
struct Move {
  static HWY_INLINE W Of(W a) { return a; }
};

/// Amounts beyond the width count as the width.
template <typename W, int kWidth>
struct ShiftLeft {
  static HWY_INLINE W Of(W a, U32 amount) {
    const W shifted = a << (amount & (8 * sizeof(W) - 1));
    return amount >= kWidth ? W{0} : static_cast<W>(shifted & (~W{0} >> (8 * sizeof(W) - kWidth)));
  }
};
template <typename T>
struct ShiftRight {
  using W = std::conditional_t<sizeof(T) == 8, U64, U32>;
  static HWY_INLINE W Of(W a, U32 amount) {
    constexpr U32 kWidth = 8 * sizeof(T);
    const U32 most = std::is_signed_v<T> ? kWidth - 1 : kWidth;
    const U32 by = amount < most ? amount : most;
    if constexpr (std::is_signed_v<T>) {
      return static_cast<W>(static_cast<std::make_unsigned_t<T>>(static_cast<T>(a) >> by));
    } else {
      const W x = static_cast<T>(a);
      return by >= kWidth ? W{0} : static_cast<W>(x >> (by & (8 * sizeof(W) - 1)));
    }
  }
};
enum class Amount { clamp, wrap };
/// The upper (left) or lower (right) word of {b, a} shifted.
template <Amount kAmount>
struct FunnelLeft {
  static HWY_INLINE U32 Of(U32 a, U32 b, U32 c) {
    const U32 n = kAmount == Amount::wrap ? c & 31 : c < 32 ? c : 32;
    return static_cast<U32>(((U64{b} << 32 | a) << n) >> 32);
  }
};
template <Amount kAmount>
struct FunnelRight {
  static HWY_INLINE U32 Of(U32 a, U32 b, U32 c) {
    const U32 n = kAmount == Amount::wrap ? c & 31 : c < 32 ? c : 32;
    return static_cast<U32>((U64{b} << 32 | a) >> n);
  }
};

template <typename W>
struct Select {
  static HWY_INLINE W Of(W a, W b, U32 c) { return c != 0 ? a : b; }
};
template <typename W>
struct SelectBySign {
  static HWY_INLINE W Of(W a, W b, U32 c) { return static_cast<std::int32_t>(c) >= 0 ? a : b; }
};
template <typename W>
struct SelectByF32 {  // -0 counts as zero, NaN as negative
  static HWY_INLINE W Of(W a, W b, U32 c) {
    const bool at_least_zero = c <= 0x7F800000 || c == 0x80000000;
    return at_least_zero ? a : b;
  }
};
template <typename W>
struct SelectByF32Flushed {
  static HWY_INLINE W Of(W a, W b, U32 c) {
    return SelectByF32<W>::Of(a, b, (c & 0x7F800000) == 0 ? 0 : c);
  }
};

int Width(const Opcode& opcode, std::string_view type) {
  if (type.size() < 2 || type.find('x') != std::string_view::npos) return 0;
  const std::string_view number = type.substr(type[0] == 'b' && type[1] == 'f' ? 2 : 1);
  if (number == "16") return 16;
  if (number == "32") return 32;
  if (number == "64") return 64;
  opcode.refuse("the type ." + std::string(type));
}

LaneOp Logic(const Opcode& opcode, int width) {
  const std::string_view base = opcode.base();
  const bool wide = width == 64;
  if (base == "and") return wide ? Binary<And<U64>, U64, U64>() : Binary<And<U32>>();
  if (base == "or") return wide ? Binary<Or<U64>, U64, U64>() : Binary<Or<U32>>();
  if (base == "xor") return wide ? Binary<Xor<U64>, U64, U64>() : Binary<Xor<U32>>();
  if (base == "cnot") return wide ? Unary<CNot<U64>, U64, U64>() : Unary<CNot<U32>>();
  if (base == "mov") return wide ? Unary<Move<U64>, U64, U64>() : Unary<Move<U32>>();
  if (base == "selp") {
    return wide ? Ternary<Select<U64>, U64, U64, U64, U32>() : Ternary<Select<U32>>();
  }
  if (wide) return Unary<Not<U64, 64>, U64, U64>();
  return width == 32 ? Unary<Not<U32, 32>>() : Unary<Not<U32, 16>>();
}

LaneOp Shift(const Opcode& opcode, std::string_view type, int width) {
  if (opcode.base() == "shl") {
    if (width == 64) return Binary<ShiftLeft<U64, 64>, U64, U64, U32>();
    return width == 32 ? Binary<ShiftLeft<U32, 32>>() : Binary<ShiftLeft<U32, 16>>();
  }
  if (type[0] == 's') {
    if (width == 64) return Binary<ShiftRight<std::int64_t>, U64, U64, U32>();
    return width == 32 ? Binary<ShiftRight<std::int32_t>>() : Binary<ShiftRight<std::int16_t>>();
  }
  if (width == 64) return Binary<ShiftRight<U64>, U64, U64, U32>();
  return width == 32 ? Binary<ShiftRight<U32>>() : Binary<ShiftRight<std::uint16_t>>();
}

LaneOp Funnel(Opcode& opcode) {
  const bool left = opcode.take("l"), wraps = opcode.take("wrap");
  opcode.take("r");
  opcode.take("clamp");
  opcode.expect_nothing_left();
  if (left)
    return wraps ? Ternary<FunnelLeft<Amount::wrap>>() : Ternary<FunnelLeft<Amount::clamp>>();
  return wraps ? Ternary<FunnelRight<Amount::wrap>>() : Ternary<FunnelRight<Amount::clamp>>();
}

LaneOp SignSelect(Opcode& opcode, std::string_view selector) {
  const bool flush = opcode.take("ftz");
  const bool wide = Width(opcode, opcode.take_last()) == 64;
  opcode.expect_nothing_left();
  if (selector == "s32") {
    return wide ? Ternary<SelectBySign<U64>, U64, U64, U64, U32>() : Ternary<SelectBySign<U32>>();
  }
  if (flush) {
    return wide ? Ternary<SelectByF32Flushed<U64>, U64, U64, U64, U32>()
                : Ternary<SelectByF32Flushed<U32>>();
  }
  return wide ? Ternary<SelectByF32<U64>, U64, U64, U64, U32>() : Ternary<SelectByF32<U32>>();
}

}  // namespace

LaneOp BitsOp(const Opcode& given) {
  Opcode opcode = given;
  const std::string_view base = opcode.base();
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), base) != names.end();
  };
  if (!is({"and", "or", "xor", "not", "cnot", "mov", "selp", "shl", "shr", "shf", "slct"}))
    return {};
  const std::string_view type = opcode.take_last();
  if (base == "shf") return Funnel(opcode);
  if (base == "slct") return SignSelect(opcode, type);
  const int width = Width(opcode, type);
  if (width == 0) opcode.refuse("the type ." + std::string(type));
  opcode.expect_nothing_left();
  if (base == "shl" || base == "shr") return Shift(opcode, type, width);
  return Logic(opcode, width);
}

}  // namespace karat::ptx::units::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::ptx::units {
namespace {
HWY_EXPORT(BitsOp);
}  // namespace

LaneOp bits_op(Opcode opcode) { return HWY_DYNAMIC_DISPATCH(BitsOp)(opcode); }

}  // namespace karat::ptx::units
#endif  // HWY_ONCE
