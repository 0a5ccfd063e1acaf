// Comparisons of lanes: setp and testp. PTX ISA, "Comparison and Selection Instructions", "testp".
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "units/lane_op.hpp"
#include "units/opcode.hpp"
#include "units/ops/numbers.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::array<std::uint32_t, kLanes> kLaneBits = [] {
  std::array<std::uint32_t, kLanes> bits{};
  for (std::size_t l = 0; l < kLanes; ++l) bits[l] = 1u << l;
  return bits;
}();

struct Equal {
  template <typename T>
  static bool of(T a, T b) {
    return a == b;
  }
};
struct NotEqual {  // ordered: false with NaN
  template <typename T>
  static bool of(T a, T b) {
    return a < b || a > b;
  }
};
struct Less {
  template <typename T>
  static bool of(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <typename T>
  static bool of(T a, T b) {
    return a <= b;
  }
};
struct Greater {
  template <typename T>
  static bool of(T a, T b) {
    return a > b;
  }
};
struct GreaterEqual {
  template <typename T>
  static bool of(T a, T b) {
    return a >= b;
  }
};
/// True with NaN as well.
template <typename Op>
struct Unordered {
  template <typename T>
  static bool of(T a, T b) {
    return std::isnan(a) || std::isnan(b) || Op::of(a, b);
  }
};
struct Numbers {
  template <typename T>
  static bool of(T a, T b) {
    return !std::isnan(a) && !std::isnan(b);
  }
};
struct AnyNan {
  template <typename T>
  static bool of(T a, T b) {
    return std::isnan(a) || std::isnan(b);
  }
};

template <typename T>
struct IntegerNumber {
  using Word = WordOf<T>;
  static T value(Word x) { return static_cast<T>(x); }
};
/// f32 without a detour through f64.
template <Flush kFlush>
struct Single {
  using Word = std::uint32_t;
  static float value(Word x) { return f32_in<kFlush>(x); }
};

/// f16 whose subnormals are zeros.
struct FlushedHalf {
  using Word = std::uint32_t;
  static double value(Word x) {
    return (x & 0x7C00) == 0 ? 0.0 : SmallNumber<numerics::FormatId::f16>::value(x);
  }
};

template <typename Op, typename Number>
std::uint32_t run(const void* a, const void* b) {
  using Word = typename Number::Word;
  const auto* x = static_cast<const Word*>(a);
  const auto* y = static_cast<const Word*>(b);
  std::uint32_t mask = 0;
  for (int lane = 0; lane < kLanes; ++lane) {  // without a shift by the lane, it vectorises
    const bool yes = Op::of(Number::value(x[lane]), Number::value(y[lane]));
    mask |= kLaneBits[static_cast<std::size_t>(lane)] & (0u - std::uint32_t{yes});
  }
  return mask;
}
template <typename Op, typename Number>
CompareOp make() {
  return {&run<Op, Number>, 2, 8 * sizeof(typename Number::Word)};
}

template <typename Number>
CompareOp ordered(std::string_view name) {
  if (name == "eq") return make<Equal, Number>();
  if (name == "ne") return make<NotEqual, Number>();
  if (name == "lt" || name == "lo") return make<Less, Number>();
  if (name == "le" || name == "ls") return make<LessEqual, Number>();
  if (name == "gt" || name == "hi") return make<Greater, Number>();
  if (name == "ge" || name == "hs") return make<GreaterEqual, Number>();
  return {};
}
template <typename Number>
CompareOp floating(std::string_view name) {
  if (name == "equ") return make<Unordered<Equal>, Number>();
  if (name == "neu") return make<Unordered<NotEqual>, Number>();
  if (name == "ltu") return make<Unordered<Less>, Number>();
  if (name == "leu") return make<Unordered<LessEqual>, Number>();
  if (name == "gtu") return make<Unordered<Greater>, Number>();
  if (name == "geu") return make<Unordered<GreaterEqual>, Number>();
  if (name == "num") return make<Numbers, Number>();
  if (name == "nan") return make<AnyNan, Number>();
  return ordered<Number>(name);
}

CompareOp typed(std::string_view type, std::string_view name, bool flush) {
  if (flush && type == "f16") return floating<FlushedHalf>(name);
  if (flush && type != "f32") return {};
  if (type == "s32") return ordered<IntegerNumber<std::int32_t>>(name);
  if (type == "u32" || type == "b32") return ordered<IntegerNumber<std::uint32_t>>(name);
  if (type == "s64") return ordered<IntegerNumber<std::int64_t>>(name);
  if (type == "u64" || type == "b64") return ordered<IntegerNumber<std::uint64_t>>(name);
  if (type == "s16") return ordered<IntegerNumber<std::int16_t>>(name);
  if (type == "u16" || type == "b16") return ordered<IntegerNumber<std::uint16_t>>(name);
  if (type == "f32")
    return flush ? floating<Single<Flush::yes>>(name) : floating<Single<Flush::no>>(name);
  if (type == "f64") return floating<F64Number>(name);
  if (type == "f16") return floating<SmallNumber<numerics::FormatId::f16>>(name);
  if (type == "bf16") return floating<SmallNumber<numerics::FormatId::bf16>>(name);
  return {};
}

enum class Kind { finite, infinite, number, notanumber, normal, subnormal };

template <typename T, Kind kKind>
std::uint32_t run_test(const void* a, const void*) {
  using Word = WordOf<T>;
  const auto* x = static_cast<const Word*>(a);
  std::uint32_t mask = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int kind = std::fpclassify(std::bit_cast<T>(x[lane]));
    bool yes = false;
    switch (kKind) {
      case Kind::finite:
        yes = kind != FP_NAN && kind != FP_INFINITE;
        break;
      case Kind::infinite:
        yes = kind == FP_INFINITE;
        break;
      case Kind::number:
        yes = kind != FP_NAN;
        break;
      case Kind::notanumber:
        yes = kind == FP_NAN;
        break;
      case Kind::normal:
        yes = kind == FP_NORMAL || kind == FP_ZERO;  // PTX counts zeros among them
        break;
      case Kind::subnormal:
        yes = kind == FP_SUBNORMAL;
        break;
    }
    mask |= std::uint32_t{yes} << lane;
  }
  return mask;
}
template <typename T>
CompareOp test(std::string_view name) {
  constexpr std::uint8_t kBits = 8 * sizeof(T);
  if (name == "finite") return {&run_test<T, Kind::finite>, 1, kBits};
  if (name == "infinite") return {&run_test<T, Kind::infinite>, 1, kBits};
  if (name == "number") return {&run_test<T, Kind::number>, 1, kBits};
  if (name == "notanumber") return {&run_test<T, Kind::notanumber>, 1, kBits};
  if (name == "normal") return {&run_test<T, Kind::normal>, 1, kBits};
  if (name == "subnormal") return {&run_test<T, Kind::subnormal>, 1, kBits};
  return {};
}

}  // namespace

CompareOp compare_op(std::string_view text) {
  Opcode opcode(text);
  const std::string_view type = opcode.take_last();
  CompareOp op;
  if (opcode.base() == "testp") {
    const std::string_view name = opcode.take_first();
    opcode.expect_nothing_left();
    if (type == "f32") op = test<float>(name);
    if (type == "f64") op = test<double>(name);
  } else if (opcode.base() == "setp") {
    opcode.take_one_of({"and", "or", "xor"});
    const bool flush = opcode.take("ftz");
    const std::string_view name = opcode.take_first();
    opcode.expect_nothing_left();
    const bool unsigned_name = name == "lo" || name == "ls" || name == "hi" || name == "hs";
    if (unsigned_name && !type.starts_with('u')) opcode.refuse("it compares numbers without sign");
    if (type.starts_with("b") && type != "bf16" && name != "eq" && name != "ne")
      opcode.refuse("bits are equal or not");
    op = typed(type, name, flush);
  }
  if (!op.run) opcode.refuse("no such comparison");
  return op;
}

}  // namespace karat::ptx::units
