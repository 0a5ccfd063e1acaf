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
  alignas(64) std::int32_t c0[128];     ///< c0 and the constant's part above 2^13
  alignas(64) std::int32_t c1_c2[128];  ///< c1' above, c2 in the low 16 bits
  std::int32_t constant;                ///< its part below 2^13
};

const Columns& columns(Mufu function) {
  const auto read = [](Mufu of, std::int32_t centre) {
    const MufuTable& table = mufu_table(of);
    const auto constant = static_cast<std::int32_t>(table.widths.constant);
    Columns columns{{}, {}, constant & 0x1FFF};
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const auto& [c0, c1, c2] = table.rows[i];
      columns.c0[i] = c0 + (constant >> 13);
      columns.c1_c2[i] = (c1 - centre) * 65536 + c2;
    }
    return columns;
  };
  static const Columns ex2 = read(Mufu::ex2, kCentre), rcp = read(Mufu::rcp, -kCentre);
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

/// Adds what bits k, k - 1 .. 8 of y contribute to the square; `top` is y moved left so that its
/// bit k is the highest.
///
/// Bits 0 and 1 of x add nothing, so y = x >> 2 (15 bits) decides alone: the squarer's sum is that
/// of 2^(i+j-14) over pairs of set bits i + j >= 14 of y. A pair i < j stands twice in it; halving
/// leaves one of them and 2^(2j-15) of the pair (j, j). So bit j adds
///   floor((y mod 2^j) / 2^(14-j)) + 2^(2j-15) = floor(((y mod 2^j) + 2^(j-1)) / 2^(14-j)),
/// and only j >= 8 has pairs (bit 7's own is lost in the halving).
template <int k>
HWY_INLINE VU16 AddSquares(VU16 top, VU16 sum) {
  if constexpr (k < 8) {
    return sum;
  } else {
    const DU16 d;
    // top = (2^k + y mod 2^k) << (15 - k) where the bit is set.
    const VU16 term = hn::ShiftRight<29 - 2 * k>(hn::Sub(top, hn::Set(d, 0x4000)));
    const auto set = hn::TestBit(top, hn::Set(d, 0x8000));
    return AddSquares<k - 1>(hn::Add(top, top), hn::Add(sum, hn::IfThenElseZero(set, term)));
  }
}
#endif

/// mufu_square of two vectors of arguments below 2^17 at once.
HWY_INLINE void Squares(VU first, VU second, VU& first_square, VU& second_square) {
  const DU32 du;
#if HWY_TARGET == HWY_SCALAR
  first_square = hn::Set(du, static_cast<std::uint32_t>(mufu_square(hn::GetLane(first))));
  second_square = hn::Set(du, static_cast<std::uint32_t>(mufu_square(hn::GetLane(second))));
#else
  // y << 1, the first vector's in the lower halves of the lanes.
  const VU both = hn::Or(hn::ShiftRight<1>(first), hn::ShiftLeft<16>(hn::ShiftRight<1>(second)));
  const VU16 top = hn::And(hn::BitCast(DU16(), both), hn::Set(DU16(), 0xFFFE));
  const VU squares = hn::BitCast(du, AddSquares<14>(top, hn::Zero(DU16())));
  first_square = hn::And(squares, hn::Set(du, 0xFFFF));
  second_square = hn::ShiftRight<16>(squares);
#endif
}

/// Entries of a column. A gather costs more than permutations of the 64 segments of ex2.
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
  return Rows128(column, segment);
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

/// The significand without the offset's multiple.
HWY_INLINE VI Significand(const Columns& table, VU c0, VU c1_c2, VU offset, VU square) {
  const DI32 di;
  const VI packed = hn::BitCast(di, c1_c2);
  const VI high = hn::BitCast(di, hn::ShiftRight<2>(c0));
  const VI low = hn::And(hn::BitCast(di, hn::ShiftLeft<13>(c0)), hn::Set(di, 0x6000));
  const VI bent = hn::Add(MulLow(packed, hn::BitCast(di, square)), hn::Set(di, table.constant));
  const VI sloped = hn::Mul(hn::ShiftRight<16>(packed), hn::BitCast(di, offset));
  return hn::Add(high, hn::ShiftRight<15>(hn::Add(hn::Add(low, bent), sloped)));
}

/// ex2's argument as sign, integer part and fraction in one two's-complement number.
template <FixedPointCut kCut>
HWY_INLINE VI Fixed(VF x) {
  const D32 d;
  const DI32 di;
  const VF bounded = hn::Min(hn::Abs(x), hn::Set(d, 128.0f));
  const VF scaled = hn::Mul(bounded, hn::Set(d, 0x1p23f));
  VI fixed = hn::ConvertTo(di, scaled);
  const auto negative = hn::BroadcastSignBit(hn::BitCast(di, x));
  if constexpr (kCut == FixedPointCut::toward_minus_infinity) {
    const auto cut_away =
        hn::VecFromMask(di, hn::RebindMask(di, hn::Ne(hn::ConvertTo(d, fixed), scaled)));
    fixed = hn::Sub(fixed, hn::And(cut_away, negative));
  }
  // ~fixed, and one more where the fraction is 0.
  const auto whole = hn::Eq(hn::And(fixed, hn::Set(di, 0x7FFFFF)), hn::Zero(di));
  return hn::Sub(hn::Xor(fixed, negative), hn::IfThenElseZero(whole, negative));
}

/// Offset of an argument of ex2: the 17 bits below its segment's.
HWY_INLINE VU Ex2Offset(VI fixed) {
  const DU32 du;
  return hn::And(hn::BitCast(du, fixed), hn::Set(du, 0x1FFFF));
}

/// An argument bounded to 128 has integer part 128 and fraction 0, which makes the bits of +Inf;
/// one of -128 falls below the normal numbers.
HWY_INLINE VF Ex2Finish(const Columns& table, VF x, VI fixed, VU square) {
  const D32 d;
  const DI32 di;
  const DU32 du;
  const VU fraction = hn::And(hn::BitCast(du, fixed), hn::Set(du, 0x7FFFFF));
  const VU segment = hn::ShiftRight<17>(fraction), offset = Ex2Offset(fixed);
  const VI significand = hn::Add(
      hn::BitCast(di, offset),
      Significand(table, Rows64(table.c0, segment), Rows64(table.c1_c2, segment), offset, square));
  const VI whole = hn::ShiftRight<23>(fixed);
  const VI exponent = hn::ShiftLeft<23>(hn::Add(whole, hn::Set(di, 126)));
  const VF power = hn::BitCast(d, hn::Add(exponent, significand));
  const auto normal = hn::RebindMask(d, hn::Gt(whole, hn::Set(di, -127)));
  const VF result = hn::IfThenElseZero(normal, power);
  return hn::IfThenElse(hn::Eq(x, x), result, hn::Set(d, std::bit_cast<float>(0x7FFFFFFFu)));
}

template <FixedPointCut kCut>
HWY_INLINE void Ex2Pair(const Columns& table, VF& x0, VF& x1) {
  const VI fixed0 = Fixed<kCut>(x0), fixed1 = Fixed<kCut>(x1);
  VU square0, square1;
  Squares(Ex2Offset(fixed0), Ex2Offset(fixed1), square0, square1);
  x0 = Ex2Finish(table, x0, fixed0, square0);
  x1 = Ex2Finish(table, x1, fixed1, square1);
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
  const DU32 du;
  const auto doubled_offset = [&](VF x) HWY_ATTR {
    return hn::ShiftLeft<1>(hn::And(hn::BitCast(du, x), hn::Set(du, 0xFFFF)));
  };
  VU square0, square1;
  Squares(doubled_offset(x0), doubled_offset(x1), square0, square1);
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

template <FixedPointCut kCut>
HWY_INLINE void Ex2(const float* x, std::size_t count, float* y) {
  const Columns& table = columns(Mufu::ex2);
  ForPairs(x, count, y, [&](VF& x0, VF& x1) HWY_ATTR { Ex2Pair<kCut>(table, x0, x1); });
}
void Ex2TowardZero(const float* x, std::size_t count, float* y) {
  Ex2<FixedPointCut::toward_zero>(x, count, y);
}
void Ex2TowardMinusInfinity(const float* x, std::size_t count, float* y) {
  Ex2<FixedPointCut::toward_minus_infinity>(x, count, y);
}

void Rcp(const float* x, std::size_t count, float* y) {
  const Columns& table = columns(Mufu::rcp);
  ForPairs(x, count, y, [&](VF& x0, VF& x1) HWY_ATTR { RcpPair(table, x0, x1); });
}

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
