// Dot products of bytes in a word. PTX ISA, "dp4a", "dp2a".
// clang-format off
#include "units/ops/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "units/ops/dot_op.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "units/ops/loops-inl.hpp"
// clang-format on

#include "units/ops/families.hpp"
#include "units/ops/integer_words.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::ptx::units::HWY_NAMESPACE {
namespace {

template <typename A, typename B>
struct Dp4a {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    for (int i = 0; i < 32; i += 8) {
      const int x = static_cast<A>(a >> i), y = static_cast<B>(b >> i);
      c += static_cast<std::uint32_t>(x * y);
    }
    return c;
  }
};
/// Two 16-bit numbers of a by two bytes of b, the low or the high ones.
template <typename A, typename B, Half kHalf>
struct Dp2a {
  static HWY_INLINE std::uint32_t Of(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    const std::uint32_t bytes = kHalf == Half::low ? b : b >> 16;
    for (int i = 0; i < 2; ++i) {
      const std::int64_t x = static_cast<A>(a >> (16 * i)), y = static_cast<B>(bytes >> (8 * i));
      c += static_cast<std::uint32_t>(x * y);
    }
    return c;
  }
};

LaneOp DotProduct(Opcode& opcode) {
  const bool b_signed = opcode.take_last() == "s32", a_signed = opcode.take_last() == "s32";
  using S8 = std::int8_t;
  using U8 = std::uint8_t;
  if (opcode.base() == "dp4a") {
    opcode.expect_nothing_left();
    if (a_signed) return b_signed ? Ternary<Dp4a<S8, S8>>() : Ternary<Dp4a<S8, U8>>();
    return b_signed ? Ternary<Dp4a<U8, S8>>() : Ternary<Dp4a<U8, U8>>();
  }
  using S16 = std::int16_t;
  using U16 = std::uint16_t;
  const bool high = opcode.take_one_of({"lo", "hi"}) == "hi";
  opcode.expect_nothing_left();
  constexpr Half kLow = Half::low, kHigh = Half::high;
  if (high) {
    if (a_signed)
      return b_signed ? Ternary<Dp2a<S16, S8, kHigh>>() : Ternary<Dp2a<S16, U8, kHigh>>();
    return b_signed ? Ternary<Dp2a<U16, S8, kHigh>>() : Ternary<Dp2a<U16, U8, kHigh>>();
  }
  if (a_signed) return b_signed ? Ternary<Dp2a<S16, S8, kLow>>() : Ternary<Dp2a<S16, U8, kLow>>();
  return b_signed ? Ternary<Dp2a<U16, S8, kLow>>() : Ternary<Dp2a<U16, U8, kLow>>();
}

}  // namespace

LaneOp DotOp(Opcode opcode) { return DotProduct(opcode); }

}  // namespace karat::ptx::units::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::ptx::units {
namespace {
HWY_EXPORT(DotOp);
}  // namespace

LaneOp dot_op(Opcode opcode) {
  if (opcode.base() != "dp4a" && opcode.base() != "dp2a") return {};
  return HWY_DYNAMIC_DISPATCH(DotOp)(opcode);
}

}  // namespace karat::ptx::units
#endif  // HWY_ONCE
