// f32 arithmetic of lanes. PTX ISA, "Floating Point Instructions".
// clang-format off
#include "units/ops/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "units/ops/f32_op.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "units/ops/loops-inl.hpp"
// clang-format on

#include "units/ops/directed.hpp"
#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::ptx::units::HWY_NAMESPACE {
namespace {

using Word = std::uint32_t;

struct Add {
  static HWY_INLINE float Of(float a, float b) { return a + b; }
};
struct Sub {
  static HWY_INLINE float Of(float a, float b) { return a - b; }
};
struct Mul {
  static HWY_INLINE float Of(float a, float b) { return a * b; }
};
struct Fma {
  static HWY_INLINE float Of(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
};
template <Directed kMode>
struct AddTo {
  static float Of(float a, float b) { return add_directed<kMode>(a, b); }
};
template <Directed kMode>
struct SubTo {
  static float Of(float a, float b) { return add_directed<kMode>(a, -b); }
};
template <Directed kMode>
struct MulTo {
  static float Of(float a, float b) { return mul_directed<kMode>(a, b); }
};
template <Directed kMode>
struct FmaTo {
  static float Of(float a, float b, float c) { return fma_directed<kMode>(a, b, c); }
};

template <typename Op, Flush kFlush, Clamp kClamp>
struct Words {
  static HWY_INLINE Word Of(Word a, Word b) {
    return f32_out<kFlush, kClamp>(Op::Of(f32_in<kFlush>(a), f32_in<kFlush>(b)));
  }
  static HWY_INLINE Word Of(Word a, Word b, Word c) {
    return f32_out<kFlush, kClamp>(Op::Of(f32_in<kFlush>(a), f32_in<kFlush>(b), f32_in<kFlush>(c)));
  }
};

template <Flush kFlush>
struct Abs {
  static HWY_INLINE Word Of(Word a) { return flushed<kFlush>(a) & 0x7FFFFFFF; }
};
template <Flush kFlush>
struct Neg {
  static HWY_INLINE Word Of(Word a) { return flushed<kFlush>(a) ^ 0x80000000; }
};
struct CopySign {  // the first operand's sign
  static HWY_INLINE Word Of(Word a, Word b) { return (a & 0x80000000) | (b & 0x7FFFFFFF); }
};

enum class Extreme { min, max };
enum class Nan { loses, wins };

template <Extreme kExtreme, Flush kFlush, Nan kNan>
struct MinMax {
  static HWY_INLINE Word Of(Word x, Word y) {
    const Word a = flushed<kFlush>(x), b = flushed<kFlush>(y);
    const bool first = (f32_place(a) < f32_place(b)) == (kExtreme == Extreme::min);
    const bool a_nan = is_nan_word(a), b_nan = is_nan_word(b);
    Word r = first ? a : b;
    if constexpr (kNan == Nan::wins) {
      r = a_nan || b_nan ? kNan32 : r;
    } else {
      r = a_nan ? b : b_nan ? a : r;
      r = is_nan_word(r) ? kNan32 : r;
    }
    return r;
  }
  static HWY_INLINE Word Of(Word a, Word b, Word c) { return Of(Of(a, b), c); }
};

/// The extreme of the magnitudes with the signs' XOR.
template <Extreme kExtreme, Flush kFlush, Nan kNan>
struct SignedMagnitude {
  static HWY_INLINE Word Of(Word a, Word b) {
    const Word r = MinMax<kExtreme, kFlush, kNan>::Of(a & 0x7FFFFFFF, b & 0x7FFFFFFF);
    return is_nan_word(r) ? r : r | ((a ^ b) & 0x80000000);
  }
};

template <typename Op>
LaneOp Pick2(Flush flush, Clamp clamp) {
  if (flush == Flush::yes) {
    return clamp == Clamp::yes ? Binary<Words<Op, Flush::yes, Clamp::yes>>()
                               : Binary<Words<Op, Flush::yes, Clamp::no>>();
  }
  return clamp == Clamp::yes ? Binary<Words<Op, Flush::no, Clamp::yes>>()
                             : Binary<Words<Op, Flush::no, Clamp::no>>();
}
template <typename Op>
LaneOp Pick3(Flush flush, Clamp clamp) {
  if (flush == Flush::yes) {
    return clamp == Clamp::yes ? Ternary<Words<Op, Flush::yes, Clamp::yes>>()
                               : Ternary<Words<Op, Flush::yes, Clamp::no>>();
  }
  return clamp == Clamp::yes ? Ternary<Words<Op, Flush::no, Clamp::yes>>()
                             : Ternary<Words<Op, Flush::no, Clamp::no>>();
}

template <Extreme kExtreme, Flush kFlush>
LaneOp PickExtreme(bool nan, bool signed_magnitude) {
  if (signed_magnitude) {
    return nan ? Binary<SignedMagnitude<kExtreme, kFlush, Nan::wins>>()
               : Binary<SignedMagnitude<kExtreme, kFlush, Nan::loses>>();
  }
  return nan ? Binary<MinMax<kExtreme, kFlush, Nan::wins>>()
             : Binary<MinMax<kExtreme, kFlush, Nan::loses>>();
}

LaneOp MinOrMax(Opcode& opcode, bool min, Flush flush) {
  const bool nan = opcode.take("NaN"), xorsign = opcode.take("xorsign");
  if (xorsign && !opcode.take("abs")) opcode.refuse(".xorsign without .abs");
  opcode.expect_nothing_left();
  if (flush == Flush::yes) {
    return min ? PickExtreme<Extreme::min, Flush::yes>(nan, xorsign)
               : PickExtreme<Extreme::max, Flush::yes>(nan, xorsign);
  }
  return min ? PickExtreme<Extreme::min, Flush::no>(nan, xorsign)
             : PickExtreme<Extreme::max, Flush::no>(nan, xorsign);
}

template <Directed kMode>
LaneOp PickDirected(std::string_view base, Flush flush, Clamp clamp) {
  if (base == "add") return Pick2<AddTo<kMode>>(flush, clamp);
  if (base == "sub") return Pick2<SubTo<kMode>>(flush, clamp);
  if (base == "mul") return Pick2<MulTo<kMode>>(flush, clamp);
  return Pick3<FmaTo<kMode>>(flush, clamp);
}

LaneOp F32Op(Opcode opcode) {
  const std::string_view base = opcode.base();
  const bool sums =
      base == "add" || base == "sub" || base == "mul" || base == "fma" || base == "mad";
  const bool others =
      base == "min" || base == "max" || base == "abs" || base == "neg" || base == "copysign";
  if (!sums && !others) return {};
  const Flush flush = opcode.take("ftz") ? Flush::yes : Flush::no;
  if (base == "min" || base == "max") return MinOrMax(opcode, base == "min", flush);
  if (others) {
    opcode.expect_nothing_left();
    if (base == "copysign") return Binary<CopySign>();
    if (base == "abs")
      return flush == Flush::yes ? Unary<Abs<Flush::yes>>() : Unary<Abs<Flush::no>>();
    return flush == Flush::yes ? Unary<Neg<Flush::yes>>() : Unary<Neg<Flush::no>>();
  }
  const Clamp clamp = opcode.take("sat") ? Clamp::yes : Clamp::no;
  const std::string_view rounding = opcode.take_one_of({"rn", "rz", "rm", "rp"}, "rn");
  opcode.expect_nothing_left();
  if (rounding == "rz") return PickDirected<Directed::zero>(base, flush, clamp);
  if (rounding == "rm") return PickDirected<Directed::down>(base, flush, clamp);
  if (rounding == "rp") return PickDirected<Directed::up>(base, flush, clamp);
  if (base == "add") return Pick2<Add>(flush, clamp);
  if (base == "sub") return Pick2<Sub>(flush, clamp);
  if (base == "mul") return Pick2<Mul>(flush, clamp);
  return Pick3<Fma>(flush, clamp);
}

}  // namespace

LaneOp F32(const Opcode& opcode) { return F32Op(opcode); }

}  // namespace karat::ptx::units::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::ptx::units {
namespace {
HWY_EXPORT(F32);
}  // namespace

LaneOp f32_op(Opcode opcode) {
  if (opcode.take_last() != "f32") return {};
  return HWY_DYNAMIC_DISPATCH(F32)(opcode);
}

}  // namespace karat::ptx::units
#endif  // HWY_ONCE
