// Integer arithmetic of lanes. PTX ISA, "Integer Arithmetic Instructions".
// clang-format off
#include "units/ops/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "units/ops/integer_op.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "units/ops/loops-inl.hpp"
// clang-format on

#include <type_traits>

#include "units/ops/families.hpp"
#include "units/ops/integer_words.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::ptx::units::HWY_NAMESPACE {
namespace {

template <typename T>
struct IntAdd {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) { return word(static_cast<T>(a + b)); }
};
template <typename T>
struct IntSub {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) { return word(static_cast<T>(a - b)); }
};
struct AddClamped {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b) {
    return word(clamped<std::int32_t>(std::int64_t{static_cast<std::int32_t>(a)} +
                                      static_cast<std::int32_t>(b)));
  }
};
struct SubClamped {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b) {
    return word(clamped<std::int32_t>(std::int64_t{static_cast<std::int32_t>(a)} -
                                      static_cast<std::int32_t>(b)));
  }
};

template <typename T, Half kHalf>
struct IntMul {
  static HWY_INLINE T Value(T a, T b) {
    if constexpr (kHalf == Half::low) {
      using U = std::conditional_t<sizeof(T) == 2, std::uint32_t, std::make_unsigned_t<T>>;
      return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
    } else {
      return static_cast<T>((Wider<T>{a} * Wider<T>{b}) >> (8 * sizeof(T)));
    }
  }
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) {
    return word(Value(static_cast<T>(a), static_cast<T>(b)));
  }
};
template <typename T, Half kHalf>
struct IntMad {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b, WordOf<T> c) {
    const auto product = word(IntMul<T, kHalf>::Value(static_cast<T>(a), static_cast<T>(b)));
    return word(static_cast<T>(product + c));
  }
};
struct MadHighClamped {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    const std::int32_t high = IntMul<std::int32_t, Half::high>::Value(static_cast<std::int32_t>(a),
                                                                      static_cast<std::int32_t>(b));
    return word(clamped<std::int32_t>(std::int64_t{high} + static_cast<std::int32_t>(c)));
  }
};
template <typename T>
struct MulWide {
  static HWY_INLINE auto Of(std::uint32_t a, std::uint32_t b) {
    return word(static_cast<Wider<T>>(Wider<T>{static_cast<T>(a)} * Wider<T>{static_cast<T>(b)}));
  }
};
template <typename T>
struct MadWide {
  static HWY_INLINE auto Of(std::uint32_t a, std::uint32_t b, WordOf<Wider<T>> c) {
    return static_cast<WordOf<Wider<T>>>(MulWide<T>::Of(a, b) + c);
  }
};

/// Operands of 24 bits; the low or the high 32 of 48 bits.
template <typename T, Half kHalf>
struct Mul24 {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b) {
    const T x = static_cast<T>(a << 8) >> 8, y = static_cast<T>(b << 8) >> 8;
    const auto product = static_cast<std::uint64_t>(Wider<T>{x} * Wider<T>{y});
    return static_cast<std::uint32_t>(kHalf == Half::low ? product : product >> 16);
  }
};
template <typename T, Half kHalf>
struct Mad24 {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    return Mul24<T, kHalf>::Of(a, b) + c;
  }
};

/// Division by zero gives all ones, its remainder the dividend; the smallest number by -1 wraps.
template <typename T>
struct Div {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) {
    const T x = static_cast<T>(a), y = static_cast<T>(b);
    if (y == 0) return word(static_cast<T>(~T{0}));
    if (std::is_signed_v<T> && y == static_cast<T>(-1)) return word(static_cast<T>(0 - a));
    return word(static_cast<T>(x / y));
  }
};
template <typename T>
struct Rem {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) {
    const T x = static_cast<T>(a), y = static_cast<T>(b);
    if (y == 0) return word(x);
    if (std::is_signed_v<T> && y == static_cast<T>(-1)) return word(T{0});
    return word(static_cast<T>(x % y));
  }
};

template <typename T>
struct IntMin {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) {
    return word(static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b));
  }
};
template <typename T>
struct IntMax {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b) {
    return word(static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a));
  }
};
template <typename Op>
struct Relu {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b) {
    return IntMax<std::int32_t>::Of(Op::Of(a, b), 0);
  }
};
template <typename T>
struct IntAbs {
  static HWY_INLINE auto Of(WordOf<T> a) {
    return word(static_cast<T>(static_cast<T>(a) < 0 ? 0 - a : a));
  }
};
template <typename T>
struct IntNeg {
  static HWY_INLINE auto Of(WordOf<T> a) { return word(static_cast<T>(0 - a)); }
};
/// c + |a - b|
template <typename T>
struct Sad {
  static HWY_INLINE auto Of(WordOf<T> a, WordOf<T> b, WordOf<T> c) {
    const bool less = static_cast<T>(a) < static_cast<T>(b);
    return word(static_cast<T>(c + (less ? b - a : a - b)));
  }
};

/// Two 16-bit numbers in a word.
template <typename Op>
struct Both {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b) {
    return Op::Of(a & 0xFFFF, b & 0xFFFF) | Op::Of(a >> 16, b >> 16) << 16;
  }
};

template <typename T>
LaneOp OfType(Opcode& opcode, bool is_signed) {
  using W = WordOf<T>;
  const std::string_view base = opcode.base();
  const auto done = [&](LaneOp op) {
    opcode.expect_nothing_left();
    return op;
  };
  if (base == "add" || base == "sub") {
    if (opcode.take("sat")) {
      if (sizeof(T) != 4 || !is_signed) opcode.refuse(".sat belongs to s32");
      return done(base == "add" ? Binary<AddClamped>() : Binary<SubClamped>());
    }
    return done(base == "add" ? Binary<IntAdd<T>, W, W>() : Binary<IntSub<T>, W, W>());
  }
  if (base == "mul" || base == "mad") {
    const bool mul = base == "mul";
    const std::string_view part = opcode.take_one_of({"lo", "hi", "wide"}, "lo");
    if (part == "hi" && opcode.take("sat")) {
      if (mul || sizeof(T) != 4 || !is_signed) opcode.refuse(".sat belongs to mad.hi of s32");
      return done(Ternary<MadHighClamped>());
    }
    if (part == "wide") {
      if constexpr (sizeof(T) < 8) {
        using D = WordOf<Wider<T>>;
        return done(mul ? Binary<MulWide<T>, D, W>() : Ternary<MadWide<T>, D, W, W, D>());
      }
      opcode.refuse(".wide of 64 bits");
    }
    if (part == "hi") {
      return done(mul ? Binary<IntMul<T, Half::high>, W, W>()
                      : Ternary<IntMad<T, Half::high>, W, W>());
    }
    return done(mul ? Binary<IntMul<T, Half::low>, W, W>() : Ternary<IntMad<T, Half::low>, W, W>());
  }
  if (base == "mul24" || base == "mad24") {
    if constexpr (sizeof(T) == 4) {
      const bool high = opcode.take("hi");
      opcode.take("lo");
      if (base == "mul24") {
        return done(high ? Binary<Mul24<T, Half::high>>() : Binary<Mul24<T, Half::low>>());
      }
      return done(high ? Ternary<Mad24<T, Half::high>>() : Ternary<Mad24<T, Half::low>>());
    }
    opcode.refuse("types other than u32 and s32");
  }
  if (base == "min" || base == "max") {
    if constexpr (std::is_same_v<T, std::int32_t>) {
      if (opcode.take("relu")) {
        return done(base == "min" ? Binary<Relu<IntMin<T>>>() : Binary<Relu<IntMax<T>>>());
      }
    }
    return done(base == "min" ? Binary<IntMin<T>, W, W>() : Binary<IntMax<T>, W, W>());
  }
  if (base == "div") return done(Binary<Div<T>, W, W>());
  if (base == "rem") return done(Binary<Rem<T>, W, W>());
  if (base == "sad") return done(Ternary<Sad<T>, W, W>());
  if (base == "abs") return done(Unary<IntAbs<T>, W, W>());
  if (base == "neg") return done(Unary<IntNeg<T>, W, W>());
  return {};
}

template <typename T>
LaneOp OfPair(Opcode& opcode) {
  const std::string_view base = opcode.base();
  opcode.expect_nothing_left();
  if (base == "add") return Binary<Both<IntAdd<T>>>();
  if (base == "min") return Binary<Both<IntMin<T>>>();
  if (base == "max") return Binary<Both<IntMax<T>>>();
  return {};
}

}  // namespace

LaneOp IntegerOp(const Opcode& given) {
  Opcode opcode = given;
  const std::string_view type = opcode.take_last();
  if (type == "s32") return OfType<std::int32_t>(opcode, true);
  if (type == "u32") return OfType<std::uint32_t>(opcode, false);
  if (type == "s64") return OfType<std::int64_t>(opcode, true);
  if (type == "u64") return OfType<std::uint64_t>(opcode, false);
  if (type == "s16") return OfType<std::int16_t>(opcode, true);
  if (type == "u16") return OfType<std::uint16_t>(opcode, false);
  if (type == "s16x2") return OfPair<std::int16_t>(opcode);
  if (type == "u16x2") return OfPair<std::uint16_t>(opcode);
  return {};
}

}  // namespace karat::ptx::units::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::ptx::units {
namespace {
HWY_EXPORT(IntegerOp);
}  // namespace

LaneOp integer_op(Opcode opcode) { return HWY_DYNAMIC_DISPATCH(IntegerOp)(opcode); }

}  // namespace karat::ptx::units
#endif  // HWY_ONCE
