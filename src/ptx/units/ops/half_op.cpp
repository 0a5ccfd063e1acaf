// f16 and bf16 arithmetic of lanes, single and in pairs. Sums and products are formed in f32, whose
// 24 bits are enough (2 * 11 + 2) that the second rounding does no harm; a fused multiply-add in
// f64, rounded to odd. PTX ISA, "Half Precision Floating Point Instructions".
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/formats/round_to_odd.hpp"
#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;
using Code = std::uint16_t;

enum class Count { one, two };  ///< numbers in a word
enum class After { nothing, clamp, relu };
enum class Extreme { min, max };
enum class Nan { loses, wins };

template <Count kCount>
constexpr std::size_t kSize = kCount == Count::one ? kLanes : 2 * kLanes;

/// The codes of a register, in order of lanes.
template <Count kCount>
struct Codes {
  Code of[kSize<kCount>];

  Codes() = default;
  explicit Codes(const void* words) {
    const auto* word = static_cast<const std::uint32_t*>(words);
    for (std::size_t l = 0; l < kLanes; ++l) {
      if constexpr (kCount == Count::one) {
        of[l] = static_cast<Code>(word[l]);
      } else {
        of[2 * l] = static_cast<Code>(word[l]);
        of[2 * l + 1] = static_cast<Code>(word[l] >> 16);
      }
    }
  }
  void store(void* words) const {
    auto* word = static_cast<std::uint32_t*>(words);
    for (std::size_t l = 0; l < kLanes; ++l) {
      word[l] = kCount == Count::one ? of[l] : of[2 * l] | std::uint32_t{of[2 * l + 1]} << 16;
    }
  }
};

constexpr Code infinity(FormatId format) { return format == FormatId::f16 ? 0x7C00 : 0x7F80; }
template <FormatId kFormat>
constexpr bool is_nan(Code x) {
  return (x & 0x7FFF) > infinity(kFormat);
}
template <FormatId kFormat, Flush kFlush>
constexpr Code flushed(Code x) {
  return kFlush == Flush::yes && (x & infinity(kFormat)) == 0 ? x & 0x8000 : x;
}

template <FormatId kFormat, Count kCount, Flush kFlush>
struct Values {
  float of[kSize<kCount>];

  explicit Values(const void* words) {
    Codes<kCount> codes(words);
    for (Code& x : codes.of) x = flushed<kFormat, kFlush>(x);
    numerics::decode(std::span<const Code>(codes.of), std::span<float>(of), kFormat);
  }
};

template <FormatId kFormat, Count kCount, Flush kFlush, After kAfter>
void finish(std::span<float> x, void* d) {
  for (float& value : x) {
    const bool at_most_zero = !(value > 0);
    if (kAfter == After::clamp) value = at_most_zero ? 0 : std::fmin(value, 1.0f);
    if (kAfter == After::relu && at_most_zero && !std::isnan(value)) value = 0;
  }
  Codes<kCount> codes;
  if constexpr (kFormat == FormatId::f16) {
    numerics::round_to_f16(x, codes.of);
  } else {
    numerics::round_to_bf16(x, codes.of);
  }
  for (Code& code : codes.of) code = flushed<kFormat, kFlush>(code);
  codes.store(d);
}

struct Add {
  static float of(float a, float b) { return a + b; }
};
struct Sub {
  static float of(float a, float b) { return a - b; }
};
struct Mul {
  static float of(float a, float b) { return a * b; }
};

template <typename Op, FormatId kFormat, Count kCount, Flush kFlush, After kAfter>
void arithmetic(void* d, const void* a, const void* b, const void*) {
  Values<kFormat, kCount, kFlush> x(a);
  const Values<kFormat, kCount, kFlush> y(b);
  for (std::size_t i = 0; i < kSize<kCount>; ++i) x.of[i] = Op::of(x.of[i], y.of[i]);
  finish<kFormat, kCount, kFlush, kAfter>(x.of, d);
}

/// a * b + c, exact until it is cut to an f32 with the last bit set where something was lost. The
/// product of two 11-bit numbers is exact in f64, the sum and what it lost are, too.
float fused_to_odd(float a, float b, float c) {
  const double p = double{a} * b, z = c, s = p + z;
  if (!std::isfinite(s)) return static_cast<float>(s);
  const double t = s - p, lost = (p - (s - t)) + (z - t);
  auto bits = std::bit_cast<std::uint64_t>(s);
  if (lost != 0 && (bits & 1) == 0) bits += (lost > 0) == (s > 0) ? 1 : -1;
  return numerics::round_to_odd(std::bit_cast<double>(bits));
}

template <FormatId kFormat, Count kCount, Flush kFlush, After kAfter>
void fused(void* d, const void* a, const void* b, const void* c) {
  Values<kFormat, kCount, kFlush> x(a);
  const Values<kFormat, kCount, kFlush> y(b), z(c);
  for (std::size_t i = 0; i < kSize<kCount>; ++i) {
    x.of[i] = fused_to_odd(x.of[i], y.of[i], z.of[i]);
  }
  finish<kFormat, kCount, kFlush, kAfter>(x.of, d);
}

enum class Sign { own, product };  ///< .xorsign.abs: of the magnitudes, with the signs' product

template <FormatId kFormat, Count kCount, Flush kFlush, Extreme kExtreme, Nan kNan, Sign kSign>
void extreme(void* d, const void* a, const void* b, const void*) {
  Codes<kCount> x(a);
  const Codes<kCount> y(b);
  const auto place = [](Code code) { return code & 0x8000 ? -1 - (code & 0x7FFF) : int{code}; };
  for (std::size_t i = 0; i < kSize<kCount>; ++i) {
    constexpr Code kKept = kSign == Sign::product ? 0x7FFF : 0xFFFF;
    const Code p = flushed<kFormat, kFlush>(x.of[i]) & kKept;
    const Code q = flushed<kFormat, kFlush>(y.of[i]) & kKept;
    const Code sign = (x.of[i] ^ y.of[i]) & 0x8000 & ~kKept;
    const bool p_nan = is_nan<kFormat>(p), q_nan = is_nan<kFormat>(q);
    if ((p_nan && q_nan) || (kNan == Nan::wins && (p_nan || q_nan))) {
      x.of[i] = kNan16;
    } else if (p_nan || q_nan) {
      x.of[i] = p_nan ? q : p;
    } else {
      x.of[i] = (place(p) < place(q)) == (kExtreme == Extreme::min) ? p : q;
    }
    if (x.of[i] != kNan16) x.of[i] |= sign;
  }
  x.store(d);
}

template <FormatId kFormat, Count kCount, Flush kFlush, Code kKeep, Code kToggle>
void change_sign(void* d, const void* a, const void*, const void*) {
  Codes<kCount> x(a);
  for (Code& code : x.of) {
    code = static_cast<Code>((flushed<kFormat, kFlush>(code) & kKeep) ^ kToggle);
  }
  x.store(d);
}

LaneOp of(LaneOp::Run run, int operands) {
  const auto bits = [&](int i) { return static_cast<std::uint8_t>(i < operands ? 32 : 0); };
  return {run,
          static_cast<std::uint8_t>(operands),
          32,
          {bits(0), bits(1), bits(2)},
          Fidelity::definition};
}

template <FormatId kFormat, Count kCount, Flush kFlush, After kAfter>
LaneOp sums(std::string_view base) {
  if (base == "add") return of(&arithmetic<Add, kFormat, kCount, kFlush, kAfter>, 2);
  if (base == "sub") return of(&arithmetic<Sub, kFormat, kCount, kFlush, kAfter>, 2);
  if (base == "mul") return of(&arithmetic<Mul, kFormat, kCount, kFlush, kAfter>, 2);
  return of(&fused<kFormat, kCount, kFlush, kAfter>, 3);
}

template <FormatId kFormat, Count kCount, Flush kFlush, Extreme kExtreme>
LaneOp extremes(bool nan, bool product) {
  if (product)
    return nan ? of(&extreme<kFormat, kCount, kFlush, kExtreme, Nan::wins, Sign::product>, 2)
               : of(&extreme<kFormat, kCount, kFlush, kExtreme, Nan::loses, Sign::product>, 2);
  return nan ? of(&extreme<kFormat, kCount, kFlush, kExtreme, Nan::wins, Sign::own>, 2)
             : of(&extreme<kFormat, kCount, kFlush, kExtreme, Nan::loses, Sign::own>, 2);
}

template <FormatId kFormat, Count kCount, Flush kFlush>
LaneOp flushed_op(Opcode& opcode) {
  const std::string_view base = opcode.base();
  if (base == "min" || base == "max") {
    const bool nan = opcode.take("NaN");
    const bool product = opcode.take("xorsign");
    if (product && !opcode.take("abs")) opcode.refuse(".xorsign takes .abs");
    opcode.expect_nothing_left();
    return base == "min" ? extremes<kFormat, kCount, kFlush, Extreme::min>(nan, product)
                         : extremes<kFormat, kCount, kFlush, Extreme::max>(nan, product);
  }
  if (base == "abs" || base == "neg") {
    opcode.expect_nothing_left();
    return base == "abs" ? of(&change_sign<kFormat, kCount, kFlush, 0x7FFF, 0>, 1)
                         : of(&change_sign<kFormat, kCount, kFlush, 0xFFFF, 0x8000>, 1);
  }
  opcode.take("rn");
  const bool clamp = opcode.take("sat"), relu = opcode.take("relu");
  opcode.expect_nothing_left();
  if (clamp) return sums<kFormat, kCount, kFlush, After::clamp>(base);
  if (relu) return sums<kFormat, kCount, kFlush, After::relu>(base);
  return sums<kFormat, kCount, kFlush, After::nothing>(base);
}

template <FormatId kFormat, Count kCount>
LaneOp counted_op(Opcode& opcode) {
  return opcode.take("ftz") ? flushed_op<kFormat, kCount, Flush::yes>(opcode)
                            : flushed_op<kFormat, kCount, Flush::no>(opcode);
}

}  // namespace

LaneOp half_op(Opcode opcode) {
  const std::string_view base = opcode.base(), type = opcode.take_last();
  if (type != "f16" && type != "f16x2" && type != "bf16" && type != "bf16x2") return {};
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), base) != names.end();
  };
  if (!is({"add", "sub", "mul", "fma", "min", "max", "abs", "neg"})) return {};
  if (type == "f16") return counted_op<FormatId::f16, Count::one>(opcode);
  if (type == "f16x2") return counted_op<FormatId::f16, Count::two>(opcode);
  if (type == "bf16") return counted_op<FormatId::bf16, Count::one>(opcode);
  return counted_op<FormatId::bf16, Count::two>(opcode);
}

}  // namespace karat::ptx::units
