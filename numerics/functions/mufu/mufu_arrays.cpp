// ex2 and rcp over arrays, in 32-bit lanes. A sum of the scalar formula takes 39 bits. Its high
// part is a number of the segment alone, and c1 is counted from 2^15 (ex2) or -2^15 (rcp), whose
// multiple of the offset needs no sum: with C = c0 * 2^13 + constant and c1 = c1' +- 2^15,
//   floor((C + c1 offset + c2 square) / 2^15)
//     = floor(C / 2^15) +- offset + floor((C mod 2^15 + c1' offset + c2 square) / 2^15),
// where what is left fits 32 bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/functions/mufu/mufu_arrays.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <cstdint>

#include "karat/numerics/base/sizes.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "karat/numerics/functions/mufu/tables.hpp"

#ifndef KARAT_NUMERICS_MUFU_ARRAYS
#define KARAT_NUMERICS_MUFU_ARRAYS
namespace karat::numerics {
namespace {

constexpr std::int32_t kCentre = 1 << 15;  // ex2; rcp's slopes are counted from -kCentre

/// A table's columns as the lanes take them.
struct Columns {
  alignas(64) std::int32_t c0[128];     ///< c0, the constant's part above 2^13, 4 * `added`
  alignas(64) std::int32_t c1_c2[128];  ///< c1' above, c2 in the low 16 bits
  std::int32_t constant;                ///< its part below 2^13
};

const Columns& columns(Mufu function) {
  const auto read = [](Mufu of, std::int32_t centre, std::uint32_t added) {
    const MufuTable& table = mufu_table(of);
    const auto constant = static_cast<std::int32_t>(table.widths.constant);
    Columns columns{{}, {}, constant & 0x1FFF};
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const auto& [c0, c1, c2] = table.rows[i];
      columns.c0[i] =
          static_cast<std::int32_t>(static_cast<std::uint32_t>(c0 + (constant >> 13)) + 4 * added);
      columns.c1_c2[i] = (c1 - centre) * 65536 + c2;
    }
    return columns;
  };
  // To ex2's significand comes the exponent's bias less one.
  static const Columns ex2 = read(Mufu::ex2, kCentre, 126u << 23);
  static const Columns rcp = read(Mufu::rcp, -kCentre, 0);
  return function == Mufu::ex2 ? ex2 : rcp;
}

}  // namespace
}  // namespace karat::numerics
#endif

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<float>;
using DI32 = hn::RebindToSigned<D32>;
using DU32 = hn::RebindToUnsigned<D32>;
using VF = hn::Vec<D32>;
using VI = hn::Vec<DI32>;
using VU = hn::Vec<DU32>;

#if HWY_TARGET != HWY_SCALAR
using DU16 = hn::Repartition<std::uint16_t, DU32>;
using VU16 = hn::Vec<DU16>;

/// mufu_square of x, of which bits 0 to 14 of y hold x >> 2: bits 0 and 1 of x add nothing.
///
/// The squarer's sum is that of 2^(i+j-14) over pairs of set bits i + j >= 14 of y. A pair i < j
/// stands twice in it; halving leaves one of them. With h = y >> 7 the pairs of two bits from 7 on
/// are h^2, halved to floor(h^2 / 2), and bit i < 7 leaves floor(h / 2^(7-i)) where it is set. Two
/// neighbours i and i + 1 leave floor(d floor(h / 2^(6-i)) / 2) together, d their digit of two
/// bits: the half that is cut off is that of bit i alone. Each product stands 2^15 too high, so
/// that its upper half is what is wanted.
HWY_INLINE VU16 HalvedSquare(VU16 y) {
  const DU16 d;
  const VU16 y2 = hn::Add(y, y), y4 = hn::Add(y2, y2);
  const auto product = [&](VU16 a, int a_bits, VU16 b, int b_bits) HWY_ATTR {
    return hn::MulHigh(hn::And(a, hn::Set(d, static_cast<std::uint16_t>(a_bits))),
                       hn::And(b, hn::Set(d, static_cast<std::uint16_t>(b_bits))));
  };
  const VU16 upper = hn::Add(product(y, 0x7F80, y2, 0xFF00), product(y4, 0x180, y, 0x7F00));
  const VU16 lower = hn::Add(product(y4, 0x60, y, 0x7C00), product(y4, 0x18, y, 0x7000));
  const VU16 lowest = hn::And(hn::And(y, hn::ShiftRight<14>(y)), hn::Set(d, 1));
  return hn::Add(hn::Add(upper, lower), lowest);
}
#endif

/// mufu_square of the low 17 bits of two vectors at once.
HWY_INLINE void Squares(VU first, VU second, VU& first_square, VU& second_square) {
  const DU32 du;
#if HWY_TARGET == HWY_SCALAR
  const auto square = [&](VU x) {
    return hn::Set(du, static_cast<std::uint32_t>(mufu_square(hn::GetLane(x) & 0x1FFFF)));
  };
  first_square = square(first);
  second_square = square(second);
#else
  // The first vector's in the lower halves of the lanes.
  const DU16 d16;
  const VU16 both = hn::OddEven(hn::BitCast(d16, hn::ShiftLeft<14>(second)),
                                hn::BitCast(d16, hn::ShiftRight<2>(first)));
  const VU squares = hn::BitCast(du, HalvedSquare(both));
  first_square = hn::And(squares, hn::Set(du, 0xFFFF));
  second_square = hn::ShiftRight<16>(squares);
#endif
}

/// Entries of a column, of which `segment` is the number; Rows64 takes its low 6 bits. A gather
/// costs more than permutations of the 64 segments of ex2.
HWY_INLINE VU Rows128(const std::int32_t* column, VU segment) {
  const DI32 di;
  return hn::BitCast(DU32(), hn::GatherIndex(di, column, hn::BitCast(di, segment)));
}
HWY_INLINE VU Rows64(const std::int32_t* column, VU segment) {
#if HWY_TARGET <= HWY_AVX3
  const DI32 di;
  const auto part = [&](int n) HWY_ATTR { return hn::Load(di, column + n * 16).raw; };
  const VU low{_mm512_permutex2var_epi32(part(0), segment.raw, part(1))};
  const VU high{_mm512_permutex2var_epi32(part(2), segment.raw, part(3))};
  return hn::IfThenElse(hn::TestBit(segment, hn::Set(DU32(), 32)), high, low);
#else
  return Rows128(column, hn::And(segment, hn::Set(DU32(), 63)));
#endif
}

/// The low halves of the lanes multiplied; those of `second` are not negative, its high halves 0.
HWY_INLINE VI MulLow(VI first, VI second) {
#if HWY_TARGET <= HWY_AVX3
  return VI{_mm512_madd_epi16(first.raw, second.raw)};
#elif HWY_TARGET == HWY_AVX2
  return VI{_mm256_madd_epi16(first.raw, second.raw)};
#else
  return hn::Mul(hn::And(first, hn::Set(DI32(), 0xFFFF)), second);
#endif
}

/// The significand without the offset's multiple, and what the column adds to it.
HWY_INLINE VI Significand(const Columns& table, VU c0, VU c1_c2, VU offset, VU square) {
  const DI32 di;
  const VI packed = hn::BitCast(di, c1_c2);
  const VI high = hn::BitCast(di, hn::ShiftRight<2>(c0));
  const VI low = hn::OrAnd(hn::Set(di, table.constant), hn::BitCast(di, hn::ShiftLeft<13>(c0)),
                           hn::Set(di, 0x6000));
  const VI bent = MulLow(packed, hn::BitCast(di, square));
  const VI sloped = hn::Mul(hn::ShiftRight<16>(packed), hn::BitCast(di, offset));
  return hn::Add(high, hn::ShiftRight<15>(hn::Add(hn::Add(low, bent), sloped)));
}

/// Toward zero, magnitudes below 2^31: ConvertTo() also looks for larger ones.
HWY_INLINE VI Truncated(VF x) {
#if HWY_TARGET <= HWY_AVX3
  return VI{_mm512_cvttps_epi32(x.raw)};
#elif HWY_TARGET == HWY_AVX2
  return VI{_mm256_cvttps_epi32(x.raw)};
#else
  return hn::ConvertTo(DI32(), x);
#endif
}

/// Whether arguments of ex2 can be anything, or are known to be numbers between -126 and 126.
enum class Range { any, inside };

/// ex2's argument as sign, integer part and fraction in one two's-complement number.
template <FixedPointCut kCut, Range kRange>
HWY_INLINE VI Fixed(VF x) {
  const D32 d;
  const DI32 di;
  const VF bounded =
      kRange == Range::inside ? x : hn::Min(hn::Max(x, hn::Set(d, -128.0f)), hn::Set(d, 128.0f));
  const VF scaled = hn::Mul(bounded, hn::Set(d, 0x1p23f));
  VI fixed = Truncated(scaled);
  const auto negative = hn::BroadcastSignBit(hn::BitCast(di, x));
  if constexpr (kCut == FixedPointCut::toward_minus_infinity) {
    const auto cut_away = hn::RebindMask(di, hn::Ne(hn::ConvertTo(d, fixed), scaled));
    fixed = hn::Add(fixed, hn::IfThenElseZero(cut_away, negative));
  }
  // The unit complements the bits of a negative one: one below, unless the fraction is 0.
  const auto broken = hn::Ne(hn::And(fixed, hn::Set(di, 0x7FFFFF)), hn::Zero(di));
  return hn::Add(fixed, hn::IfThenElseZero(broken, negative));
}

/// An argument bounded to 128 has integer part 128 and fraction 0, which makes the bits of +Inf;
/// one of -128 falls below the normal numbers.
template <Range kRange>
HWY_INLINE VF Ex2Finish(const Columns& table, VF x, VI fixed, VU square) {
  const D32 d;
  const DI32 di;
  const VU bits = hn::BitCast(DU32(), fixed), segment = hn::ShiftRight<17>(bits);
  const VU offset = hn::And(bits, hn::Set(DU32(), 0x1FFFF));
  const VI significand =
      Significand(table, Rows64(table.c0, segment), Rows64(table.c1_c2, segment), offset, square);
  // The integer part stands in the exponent's place, the offset in the significand's.
  const auto mask = static_cast<std::int32_t>(0xFF81FFFFu);
  const VF power = hn::BitCast(d, hn::Add(hn::And(fixed, hn::Set(di, mask)), significand));
  if constexpr (kRange == Range::inside) return power;
  const auto normal = hn::RebindMask(d, hn::Gt(fixed, hn::Set(di, -(126 << 23) - 1)));
  const VF result = hn::IfThenElseZero(normal, power);
  return hn::IfThenElse(hn::Eq(x, x), result, hn::Set(d, std::bit_cast<float>(0x7FFFFFFFu)));
}

template <FixedPointCut kCut, Range kRange>
HWY_INLINE void Ex2PairOf(const Columns& table, VF& x0, VF& x1) {
  const VI fixed0 = Fixed<kCut, kRange>(x0), fixed1 = Fixed<kCut, kRange>(x1);
  VU square0, square1;
  Squares(hn::BitCast(DU32(), fixed0), hn::BitCast(DU32(), fixed1), square0, square1);
  x0 = Ex2Finish<kRange>(table, x0, fixed0, square0);
  x1 = Ex2Finish<kRange>(table, x1, fixed1, square1);
}

template <FixedPointCut kCut>
HWY_INLINE void Ex2Pair(const Columns& table, VF& x0, VF& x1) {
  // Magnitudes of floats are in order as integers, NaN last.
  const DI32 di;
  const VI largest = hn::Max(hn::BitCast(di, hn::Abs(x0)), hn::BitCast(di, hn::Abs(x1)));
  const VI limit = hn::Set(di, std::bit_cast<std::int32_t>(126.0f));
  HWY_LIKELY(hn::AllTrue(di, hn::Lt(largest, limit)))
  ? Ex2PairOf<kCut, Range::inside>(table, x0, x1) : Ex2PairOf<kCut, Range::any>(table, x0, x1);
}

HWY_INLINE VF RcpFinish(const Columns& table, VF x, VU square) {
  const D32 d;
  const DI32 di;
  const DU32 du;
  const VU bits = hn::BitCast(du, x);
  const VU fraction = hn::And(bits, hn::Set(du, 0x7FFFFF));
  const VU segment = hn::ShiftRight<16>(fraction), offset = hn::And(bits, hn::Set(du, 0xFFFF));
  const VI significand = hn::Sub(
      Significand(table, Rows128(table.c0, segment), Rows128(table.c1_c2, segment), offset, square),
      hn::BitCast(di, offset));
  const VI biased = hn::BitCast(di, hn::And(hn::ShiftRight<23>(bits), hn::Set(du, 0xFF)));
  const VI exponent = hn::ShiftLeft<23>(hn::Sub(hn::Set(di, 252), biased));
  const VI quotient = hn::Add(exponent, significand);
  VI result = hn::IfThenElseZero(hn::Gt(quotient, hn::Set(di, 0x7FFFFF)), quotient);
  result = hn::IfThenElse(hn::Eq(biased, hn::Zero(di)), hn::Set(di, 0x7F800000), result);
  result = hn::IfThenElse(hn::Eq(biased, hn::Set(di, 0xFF)), hn::Zero(di), result);
  const VF signed_result = hn::CopySign(hn::BitCast(d, result), x);
  return hn::IfThenElse(hn::Eq(x, x), signed_result, hn::Set(d, std::bit_cast<float>(0x7FFFFFFFu)));
}

HWY_INLINE void RcpPair(const Columns& table, VF& x0, VF& x1) {
  // Offsets have 16 bits; the squarer takes them doubled.
  const auto doubled = [](VF x) HWY_ATTR { return hn::ShiftLeft<1>(hn::BitCast(DU32(), x)); };
  VU square0, square1;
  Squares(doubled(x0), doubled(x1), square0, square1);
  x0 = RcpFinish(table, x0, square0);
  x1 = RcpFinish(table, x1, square1);
}

/// `pair` maps two vectors in place.
template <typename Pair>
HWY_INLINE void ForPairs(const float* x, std::size_t count, float* y, Pair pair) {
  const D32 d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    VF x0 = hn::LoadU(d, x + i), x1 = hn::LoadU(d, x + i + lanes);
    pair(x0, x1);
    hn::StoreU(x0, d, y + i);
    hn::StoreU(x1, d, y + i + lanes);
  }
  if (i == count) return;
  HWY_ALIGN float tail[2 * hn::MaxLanes(d)] = {};
  std::copy(x + i, x + count, tail);
  VF x0 = hn::Load(d, tail), x1 = hn::Load(d, tail + lanes);
  pair(x0, x1);
  hn::Store(x0, d, tail);
  hn::Store(x1, d, tail + lanes);
  std::copy(tail, tail + (count - i), y + i);
}

/// Objects, since lambdas this long are called, not inlined.
template <FixedPointCut kCut>
struct Ex2Of {
  const Columns& table = columns(Mufu::ex2);
  HWY_INLINE void operator()(VF& x0, VF& x1) const { Ex2Pair<kCut>(table, x0, x1); }
};
struct RcpOf {
  const Columns& table = columns(Mufu::rcp);
  HWY_INLINE void operator()(VF& x0, VF& x1) const { RcpPair(table, x0, x1); }
};

void Ex2TowardZero(const float* x, std::size_t count, float* y) {
  ForPairs(x, count, y, Ex2Of<FixedPointCut::toward_zero>());
}
void Ex2TowardMinusInfinity(const float* x, std::size_t count, float* y) {
  ForPairs(x, count, y, Ex2Of<FixedPointCut::toward_minus_infinity>());
}

void Rcp(const float* x, std::size_t count, float* y) { ForPairs(x, count, y, RcpOf()); }

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {

HWY_EXPORT(Ex2TowardZero);
HWY_EXPORT(Ex2TowardMinusInfinity);
HWY_EXPORT(Rcp);

}  // namespace

void ex2_approx_ftz(std::span<const float> x, std::span<float> y, FixedPointCut cut) {
  check_sizes("ex2", x.size(), y.size());
  cut == FixedPointCut::toward_zero
      ? HWY_DYNAMIC_DISPATCH(Ex2TowardZero)(x.data(), x.size(), y.data())
      : HWY_DYNAMIC_DISPATCH(Ex2TowardMinusInfinity)(x.data(), x.size(), y.data());
}

void rcp_approx_ftz(std::span<const float> x, std::span<float> y) {
  check_sizes("rcp", x.size(), y.size());
  HWY_DYNAMIC_DISPATCH(Rcp)(x.data(), x.size(), y.data());
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
