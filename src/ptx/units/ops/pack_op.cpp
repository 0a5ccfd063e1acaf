// cvt to and from pairs of small numbers, and cvt.pack. PTX ISA, "cvt", "cvt.pack".
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "karat/numerics/formats/convert.hpp"
#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;
using numerics::Overflow;
using numerics::Policy;
using Word = std::uint32_t;
using Floats = std::array<float, kLanes>;

enum class Relu { no, yes };

template <Flush kFlush, Relu kRelu>
Floats read(const void* a) {
  const auto* words = static_cast<const Word*>(a);
  Floats x;
  for (std::size_t l = 0; l < kLanes; ++l) {
    x[l] = f32_in<kFlush>(words[l]);
    if (kRelu == Relu::yes) x[l] = x[l] <= 0 ? 0.0f : x[l];
  }
  return x;
}

/// The first operand goes to the upper half: the codes of b and a in turn are the words in memory.
template <FormatId kFormat>
void encode_pairs(const Floats& a, const Floats& b, Policy policy, void* d) {
  static_assert(std::endian::native == std::endian::little);
  std::array<float, 2 * kLanes> both;
  for (std::size_t l = 0; l < kLanes; ++l) both[2 * l] = b[l], both[2 * l + 1] = a[l];
  if constexpr (numerics::format(kFormat).bits == 8) {
    std::array<std::uint8_t, 2 * kLanes> codes;
    numerics::encode(both, codes, kFormat, policy);
    const auto pairs = std::bit_cast<std::array<std::uint16_t, kLanes>>(codes);
    for (std::size_t l = 0; l < kLanes; ++l) static_cast<Word*>(d)[l] = pairs[l];
  } else {
    std::array<std::uint16_t, 2 * kLanes> codes;
    numerics::encode(both, codes, kFormat, policy);
    std::memcpy(d, codes.data(), sizeof codes);
  }
}

constexpr Policy kSaturating{.overflow = Overflow::saturate};
constexpr Policy kNearest{.overflow = Overflow::infinity};
constexpr Policy kTowardZero{.rounding = numerics::Rounding::toward_zero,
                             .overflow = Overflow::infinity};
constexpr Policy kTowardZeroSaturating{.rounding = numerics::Rounding::toward_zero,
                                       .overflow = Overflow::saturate};
enum class How { nearest, nearest_saturating, zero, zero_saturating };
constexpr Policy policy_of(How how) {
  switch (how) {
    case How::nearest:
      return kNearest;
    case How::nearest_saturating:
      return kSaturating;
    case How::zero:
      return kTowardZero;
    case How::zero_saturating:
      return kTowardZeroSaturating;
  }
  return kNearest;
}

template <FormatId kFormat, How kHow, Flush kFlush, Relu kRelu>
void from_f32(void* d, const void* a, const void* b, const void*) {
  encode_pairs<kFormat>(read<kFlush, kRelu>(a), read<kFlush, kRelu>(b), policy_of(kHow), d);
}

template <FormatId kFormat, How kHow>
LaneOp pair_from_f32(Flush flush, Relu relu) {
  LaneOp::Run run = nullptr;
  if (flush == Flush::yes) {
    run = relu == Relu::yes ? &from_f32<kFormat, kHow, Flush::yes, Relu::yes>
                            : &from_f32<kFormat, kHow, Flush::yes, Relu::no>;
  } else {
    run = relu == Relu::yes ? &from_f32<kFormat, kHow, Flush::no, Relu::yes>
                            : &from_f32<kFormat, kHow, Flush::no, Relu::no>;
  }
  return {run, 2, 32, {32, 32, 0}, Fidelity::definition};
}

template <FormatId kFormat>
LaneOp pair_from_f32(std::string_view rounding, bool satfinite, Flush flush, Relu relu) {
  if (rounding == "rz") {
    return satfinite ? pair_from_f32<kFormat, How::zero_saturating>(flush, relu)
                     : pair_from_f32<kFormat, How::zero>(flush, relu);
  }
  return satfinite ? pair_from_f32<kFormat, How::nearest_saturating>(flush, relu)
                   : pair_from_f32<kFormat, How::nearest>(flush, relu);
}

/// f16x2 or bf16x2 to a pair of bytes.
template <FormatId kTo, FormatId kFrom, Relu kRelu>
void narrow(void* d, const void* a, const void*, const void*) {
  const auto* words = static_cast<const Word*>(a);
  Floats high, low;
  for (std::size_t l = 0; l < kLanes; ++l) {
    high[l] = numerics::decode(words[l] >> 16, kFrom);
    low[l] = numerics::decode(words[l] & 0xFFFF, kFrom);
    if (kRelu == Relu::yes) {
      high[l] = high[l] <= 0 ? 0.0f : high[l];
      low[l] = low[l] <= 0 ? 0.0f : low[l];
    }
  }
  encode_pairs<kTo>(high, low, kSaturating, d);
}
/// A pair of bytes to f16x2, exactly.
template <FormatId kFrom, Relu kRelu>
void widen(void* d, const void* a, const void*, const void*) {
  const auto* words = static_cast<const Word*>(a);
  Floats high, low;
  for (std::size_t l = 0; l < kLanes; ++l) {
    high[l] = numerics::decode((words[l] >> 8) & 0xFF, kFrom);
    low[l] = numerics::decode(words[l] & 0xFF, kFrom);
    if (kRelu == Relu::yes) {
      high[l] = high[l] <= 0 ? 0.0f : high[l];
      low[l] = low[l] <= 0 ? 0.0f : low[l];
    }
  }
  encode_pairs<FormatId::f16>(high, low, kNearest, d);
}

LaneOp unary(LaneOp::Run run) { return {run, 1, 32, {32, 0, 0}, Fidelity::definition}; }

template <FormatId kTo>
LaneOp narrowing(std::string_view from, Relu relu) {
  if (from == "f16x2") {
    return unary(relu == Relu::yes ? &narrow<kTo, FormatId::f16, Relu::yes>
                                   : &narrow<kTo, FormatId::f16, Relu::no>);
  }
  if (from == "bf16x2") {
    return unary(relu == Relu::yes ? &narrow<kTo, FormatId::bf16, Relu::yes>
                                   : &narrow<kTo, FormatId::bf16, Relu::no>);
  }
  return {};
}

template <typename T>
Word clamped(Word word) {
  const auto x = static_cast<std::int32_t>(word);
  if (std::cmp_less(x, std::numeric_limits<T>::min()))
    return static_cast<std::make_unsigned_t<T>>(std::numeric_limits<T>::min());
  if (std::cmp_greater(x, std::numeric_limits<T>::max()))
    return std::make_unsigned_t<T>(std::numeric_limits<T>::max());
  return static_cast<std::make_unsigned_t<T>>(x);
}
/// Two clamped numbers in the low bits, the first above the second; c, if any, moved above them.
template <typename T>
void pack2(void* d, const void* a, const void* b, const void*) {
  const auto *x = static_cast<const Word*>(a), *y = static_cast<const Word*>(b);
  for (int l = 0; l < kLanes; ++l) {
    static_cast<Word*>(d)[l] = clamped<T>(y[l]) | clamped<T>(x[l]) << (8 * sizeof(T));
  }
}
template <typename T>
void pack3(void* d, const void* a, const void* b, const void* c) {
  const auto *x = static_cast<const Word*>(a), *y = static_cast<const Word*>(b),
             *z = static_cast<const Word*>(c);
  for (int l = 0; l < kLanes; ++l) {
    static_cast<Word*>(d)[l] =
        clamped<T>(y[l]) | clamped<T>(x[l]) << (8 * sizeof(T)) | z[l] << (16 * sizeof(T));
  }
}

LaneOp integer_pack(Opcode& opcode) {
  if (!opcode.take("sat")) opcode.refuse(".sat is missing");
  const bool third = opcode.take("b32");
  if (!opcode.take("s32")) opcode.refuse("a source other than s32");
  const std::string_view to = opcode.take_last();
  opcode.expect_nothing_left();
  LaneOp op{nullptr, 2, 32, {32, 32, 0}, Fidelity::definition};
  if (to == "u16" && !third) op.run = &pack2<std::uint16_t>;
  if (to == "s16" && !third) op.run = &pack2<std::int16_t>;
  if (third && (to == "u8" || to == "s8")) {
    op = {to == "u8" ? &pack3<std::uint8_t> : &pack3<std::int8_t>,
          3,
          32,
          {32, 32, 32},
          Fidelity::definition};
  }
  if (!op.run) opcode.refuse("this pair of types");
  return op;
}

}  // namespace

LaneOp pack_op(Opcode opcode) {
  if (opcode.base() != "cvt") return {};
  if (opcode.take("pack")) return integer_pack(opcode);
  const std::string_view from = opcode.take_last(), to = opcode.take_last();
  if (!to.ends_with("x2") && !from.ends_with("x2")) return {};
  const std::string_view rounding = opcode.take_one_of({"rn", "rz"});
  if (rounding.empty()) opcode.refuse("a rounding is missing");
  const Flush flush = Flush::no;  // pairs take no .ftz
  const Relu relu = opcode.take("relu") ? Relu::yes : Relu::no;
  const bool satfinite = opcode.take("satfinite");
  opcode.expect_nothing_left();
  LaneOp op;
  const bool bytes = to == "e4m3x2" || to == "e5m2x2";
  if (bytes && (rounding != "rn" || !satfinite)) opcode.refuse("bytes take .rn.satfinite");
  if (from == "f32") {
    if (to == "e4m3x2") op = pair_from_f32<FormatId::e4m3>(rounding, true, flush, relu);
    if (to == "e5m2x2") op = pair_from_f32<FormatId::e5m2>(rounding, true, flush, relu);
    if (to == "f16x2") op = pair_from_f32<FormatId::f16>(rounding, satfinite, flush, relu);
    if (to == "bf16x2") op = pair_from_f32<FormatId::bf16>(rounding, satfinite, flush, relu);
  } else if (to == "e4m3x2") {
    op = narrowing<FormatId::e4m3>(from, relu);
  } else if (to == "e5m2x2") {
    op = narrowing<FormatId::e5m2>(from, relu);
  } else if (to == "f16x2" && from == "e4m3x2") {
    op = unary(relu == Relu::yes ? &widen<FormatId::e4m3, Relu::yes>
                                 : &widen<FormatId::e4m3, Relu::no>);
  } else if (to == "f16x2" && from == "e5m2x2") {
    op = unary(relu == Relu::yes ? &widen<FormatId::e5m2, Relu::yes>
                                 : &widen<FormatId::e5m2, Relu::no>);
  }
  if (!op.run) opcode.refuse("this pair of types");
  return op;
}

}  // namespace karat::ptx::units
