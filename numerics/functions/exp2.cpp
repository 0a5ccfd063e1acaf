// exp2: x = n + f with |f| <= 1/2 exactly, 2^f = 1 + f * q(f) in f64 without fused operations, then
// n goes into the exponent. One sequence, in scalar and in vector form, so the bits agree.
// Arrays of f32 first try f32 lanes (Exp2Narrow), whose result counts where its error bound leaves
// one rounding possible; vectors with any other lane take the f64 sequence.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/functions/exp2.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>

#include "karat/numerics/base/sizes.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/functions/exp2_polynomial.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D64 = hn::ScalableTag<double>;
using DU64 = hn::RebindToUnsigned<D64>;
using DHalf32 = hn::Rebind<float, D64>;
using V64 = hn::Vec<D64>;

/// 2^x for -1022 <= x < 1024.
HWY_INLINE V64 Exp2Core(V64 x) {
  const D64 d;
  const DU64 du;
  const V64 shift = hn::Set(d, kRoundShift);
  const V64 shifted = hn::Add(x, shift);
  const V64 f = hn::Sub(x, hn::Sub(shifted, shift));
  V64 q = hn::Set(d, kExp2[std::size(kExp2) - 1]);
  for (std::size_t i = std::size(kExp2) - 1; i-- > 0;) {
    q = hn::Add(hn::Mul(q, f), hn::Set(d, kExp2[i]));
  }
  const V64 p = hn::Add(hn::Set(d, 1.0), hn::Mul(f, q));
  const auto n = hn::ShiftLeft<52>(hn::BitCast(du, shifted));
  return hn::BitCast(d, hn::Add(hn::BitCast(du, p), n));
}

/// All results by the f64 sequence.
template <Subnormals kSubnormals>
HWY_NOINLINE void Exp2Wide(const float* x, std::size_t count, float* y) {
  const D64 d;
  const DHalf32 df;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto in = hn::LoadU(df, x + i);
    // Below -160 the result is 0 all the same; from 128 on it is Inf, which a narrowing conversion
    // does not give on every target.
    const auto bounded = hn::Min(hn::Max(in, hn::Set(df, -160.0f)), hn::Set(df, 128.0f));
    V64 power = Exp2Core(hn::PromoteTo(d, bounded));
    if constexpr (kSubnormals == Subnormals::flush) {
      power = hn::IfThenElseZero(hn::Ge(power, hn::Set(d, 0x1p-126)), power);
    }
    auto result = hn::DemoteTo(df, power);
    for (const HardCase& hard : kHardExp2) {
      result = hn::IfThenElse(hn::Eq(in, hn::Set(df, hard.x)), hn::Set(df, hard.power), result);
    }
    const auto infinity = hn::Set(df, std::bit_cast<float>(0x7F800000u));
    result = hn::IfThenElse(hn::Ge(in, hn::Set(df, 128.0f)), infinity, result);
    const auto nan = hn::Set(df, std::bit_cast<float>(0x7FFFFFFFu));
    hn::StoreU(hn::IfThenElse(hn::Eq(in, in), result, nan), df, y + i);
  }
  for (; i < count; ++i) y[i] = numerics::exp2_rounded(x[i], kSubnormals);
}

// AVX-512 and AVX2. Other targets keep the f64 sequence: the f32 path was tried for all 2^32 inputs
// on these two.
#if HWY_ARCH_X86 && HWY_NATIVE_FMA

using D32 = hn::ScalableTag<float>;
using DI32 = hn::RebindToSigned<D32>;
using V32 = hn::Vec<D32>;
using VI32 = hn::Vec<DI32>;
using M32 = hn::Mask<D32>;

/// The j mod kSteps th number of a table.
HWY_INLINE V32 LookUp(const StepValues& table, VI32 j) {
  const D32 d;
#if HWY_TARGET <= HWY_AVX3
  const V32 first = hn::Load(d, &table.plain[0]), second = hn::Load(d, &table.plain[kSteps / 2]);
  return V32{_mm512_permutex2var_ps(first.raw, j.raw, second.raw)};
#else
  // Measured: a gather of high and low together takes a fifth longer than these.
  const DI32 di;
  const auto in_quarter = hn::IndicesFromVec(di, hn::And(j, hn::Set(di, 7)));
  const auto quarter = [&](int n) HWY_ATTR {
    return hn::TableLookupLanes(hn::Load(di, &table.differences[n * 8]), in_quarter);
  };
  const VI32 odd_quarter = hn::BroadcastSignBit(hn::ShiftLeft<28>(j));
  const VI32 second_half = hn::BroadcastSignBit(hn::ShiftLeft<27>(j));
  const VI32 first = hn::Xor(quarter(0), hn::And(quarter(1), odd_quarter));
  const VI32 second = hn::Xor(quarter(2), hn::And(quarter(3), odd_quarter));
  return hn::BitCast(d, hn::Xor(first, hn::And(second, second_half)));
#endif
}

/// The slope times the power, as high + low; worth two look-ups only where these are cheap.
HWY_INLINE void Slope([[maybe_unused]] VI32 j, [[maybe_unused]] V32 power_high,
                      [[maybe_unused]] V32 power_low, V32& high, V32& low) {
#if HWY_TARGET <= HWY_AVX3
  high = LookUp(kStepSlopeHigh, j);
  low = LookUp(kStepSlopeLow, j);
#else
  const D32 d;
  const V32 slope = hn::Set(d, kSlopeHigh);
  high = hn::Mul(power_high, slope);
  low = hn::MulAdd(power_high, hn::Set(d, kSlopeLow), hn::MulSub(power_high, slope, high));
  low = hn::MulAdd(power_low, slope, low);
#endif
}

/// 2^x and where it is proven to be rounded correctly.
///
/// With T = 2^(j/32) in [1, 2) before the exponent is added, f = x - j/32 exact and |f| <= 2^-6:
/// 2^x = T + slope T f + T f^2 q(f) = sum + rest, T = T_high + T_low, slope T = S_high + S_low;
///   sum  = fl(T_high + S_high f), and S_high f - (sum - T_high) is its error;
///   rest = that error + (T_low + f (S_low + (T_high f) q(f))), |rest| < 2^-13.
/// The error of sum + rest, in units of 2^-38, each a bound (half an ulp of the largest value):
///   0.13  the cubic, 2^-42.0 * T;
///   0.97  T_low f^2 q left out, 2^-24 * 2^-12 * 0.2412;
///   0.97  rounding T_high f < 2^-5, 2^-30 * |f q|;
///   1.01  rounding q < 2^-2 (and its inner term), (2^-27 + 2^-35) * |T_high f| * |f|;
///   1.00  rounding S_low + ... < 2^-7, 2^-32 * |f|;
///   3.00  rounding T_low + ..., rest and rest -+ kStepError, all < 2^-13;
///   0.01  everything of order 2^-47: the tables, S_low, the error of sum.
/// Together 7.09, and kStepError is 9. Where sum + rest rounds to the same f32 with kStepError
/// taken away and added, the exact power rounds to it too.
template <Subnormals kSubnormals>
HWY_INLINE V32 Exp2Narrow(V32 in, M32& decided) {
  const D32 d;
  const DI32 di;
  const V32 shift = hn::Set(d, kStepShift);
  // -127 gives an exponent field of 0: the result is +0.
  const M32 tiny = hn::Lt(in, hn::Set(d, -126.0f));
  const V32 x = hn::IfThenElse(tiny, hn::Set(d, -127.0f), in);
  const V32 shifted = hn::Add(x, shift);
  const V32 f = hn::Sub(x, hn::Sub(shifted, shift));
  const VI32 j = hn::BitCast(di, shifted);
  const V32 power_high = LookUp(kStepHigh, j), power_low = LookUp(kStepLow, j);
  V32 slope_high, slope_low;
  Slope(j, power_high, power_low, slope_high, slope_low);

  const V32 sum = hn::MulAdd(slope_high, f, power_high);
  const V32 sum_error = hn::MulSub(slope_high, f, hn::Sub(sum, power_high));
  V32 q = hn::MulAdd(hn::Set(d, kExp2Cubic[2]), f, hn::Set(d, kExp2Cubic[1]));
  q = hn::MulAdd(q, f, hn::Set(d, kExp2Cubic[0]));
  const V32 bend = hn::MulAdd(hn::Mul(power_high, f), q, slope_low);
  const V32 rest = hn::Add(sum_error, hn::MulAdd(bend, f, power_low));

  const V32 error = hn::Set(d, kStepError);
  const V32 y = hn::Add(sum, hn::Sub(rest, error));
  // NaN and what overflows is left to the f64 path.
  decided = hn::And(hn::Eq(y, hn::Add(sum, hn::Add(rest, error))), hn::Lt(x, hn::Set(d, 128.0f)));
  if constexpr (kSubnormals == Subnormals::keep) {
    decided = hn::AndNot(hn::And(tiny, hn::Gt(in, hn::Set(d, -150.0f))), decided);
  }
  const VI32 n = hn::ShiftLeft<23>(hn::ShiftRight<kStepBits>(j));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, y), n));
}

/// The vector's powers: those of the f32 path if all are decided.
template <Subnormals kSubnormals>
HWY_INLINE V32 Settle(V32 x, V32 power, M32 decided) {
  const D32 d;
  if (HWY_LIKELY(hn::AllTrue(d, decided))) return power;
  HWY_ALIGN float wide[hn::MaxLanes(d)];
  hn::Store(x, d, wide);
  Exp2Wide<kSubnormals>(wide, hn::Lanes(d), wide);
  return hn::Load(d, wide);
}

template <Subnormals kSubnormals>
void Exp2F32(const float* x, std::size_t count, float* y) {
  const D32 d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const V32 x0 = hn::LoadU(d, x + i), x1 = hn::LoadU(d, x + i + lanes);
    M32 decided0, decided1;
    const V32 power0 = Exp2Narrow<kSubnormals>(x0, decided0);
    const V32 power1 = Exp2Narrow<kSubnormals>(x1, decided1);
    hn::StoreU(Settle<kSubnormals>(x0, power0, decided0), d, y + i);
    hn::StoreU(Settle<kSubnormals>(x1, power1, decided1), d, y + i + lanes);
  }
  for (; i < count; i += lanes) {
    // Masked loads and stores of 32-bit lanes touch nothing outside their mask.
    const M32 rest = hn::FirstN(d, std::min(lanes, count - i));
    const V32 last = hn::MaskedLoad(rest, d, x + i);
    M32 decided;
    const V32 power = Exp2Narrow<kSubnormals>(last, decided);
    hn::BlendedStore(Settle<kSubnormals>(last, power, decided), rest, d, y + i);
  }
}

std::size_t Exp2Undecided(const float* x, std::size_t count) {
  const D32 d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t undecided = 0;
  for (std::size_t i = 0; i < count; i += lanes) {
    M32 decided;
    const M32 rest = hn::FirstN(d, std::min(lanes, count - i));
    Exp2Narrow<Subnormals::flush>(hn::MaskedLoad(rest, d, x + i), decided);
    undecided += lanes - hn::CountTrue(d, decided);
  }
  return undecided;
}

#else

template <Subnormals kSubnormals>
void Exp2F32(const float* x, std::size_t count, float* y) {
  Exp2Wide<kSubnormals>(x, count, y);
}

std::size_t Exp2Undecided(const float*, std::size_t count) { return count; }

#endif

void Exp2Flush(const float* x, std::size_t count, float* y) {
  Exp2F32<Subnormals::flush>(x, count, y);
}
void Exp2Keep(const float* x, std::size_t count, float* y) {
  Exp2F32<Subnormals::keep>(x, count, y);
}

/// Powers of arguments anywhere.
HWY_INLINE V64 Exp2Anywhere(V64 in) {
  const D64 d;
  const V64 infinity = hn::Set(d, std::numeric_limits<double>::infinity());
  const V64 bounded = hn::Min(hn::Max(in, hn::Set(d, -1022.0)), hn::Set(d, 1023.0));
  // 2 * 2^(x-1) keeps the exponent field in range up to 1024.
  const V64 less = hn::Sub(hn::Min(in, hn::Set(d, 1024.0)), hn::Set(d, 1.0));
  const V64 twice = hn::Mul(Exp2Core(less), hn::Set(d, 2.0));
  V64 power = hn::IfThenElse(hn::Ge(in, hn::Set(d, 1023.0)), twice, Exp2Core(bounded));
  power = hn::IfThenElse(hn::Ge(in, hn::Set(d, 1024.0)), infinity, power);
  power = hn::IfThenElse(hn::Lt(in, hn::Set(d, -1022.0)), hn::Zero(d), power);
  return hn::IfThenElse(hn::Eq(in, in), power, in);
}

void Exp2F64(const double* x, std::size_t count, double* y) {
  const D64 d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V64 in = hn::LoadU(d, x + i);
    const bool plain = hn::AllTrue(d, hn::Lt(hn::Abs(in), hn::Set(d, 1022.0)));
    hn::StoreU(HWY_LIKELY(plain) ? Exp2Core(in) : Exp2Anywhere(in), d, y + i);
  }
  for (; i < count; ++i) y[i] = numerics::exp2_f64(x[i]);
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {

HWY_EXPORT(Exp2Flush);
HWY_EXPORT(Exp2Keep);
HWY_EXPORT(Exp2F64);
HWY_EXPORT(Exp2Undecided);

/// 2^x for -1022 <= x < 1024; the operations of Exp2Core.
double exp2_core(double x) {
  const double shifted = x + kRoundShift;
  const double f = x - (shifted - kRoundShift);
  double q = kExp2[std::size(kExp2) - 1];
  for (std::size_t i = std::size(kExp2) - 1; i-- > 0;) q = q * f + kExp2[i];
  const double p = 1.0 + f * q;
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) +
                               (std::bit_cast<std::uint64_t>(shifted) << 52));
}

}  // namespace

float exp2_rounded(float x, Subnormals subnormals) {
  if (x != x) return std::bit_cast<float>(0x7FFFFFFFu);
  for (const HardCase& hard : kHardExp2) {
    if (x == hard.x) return hard.power;
  }
  const double bounded = x < -160 ? -160.0 : x > 128 ? 128.0 : static_cast<double>(x);
  const double power = exp2_core(bounded);
  if (subnormals == Subnormals::flush && power < 0x1p-126) return 0;
  return static_cast<float>(power);
}

void exp2_rounded(std::span<const float> x, std::span<float> y, Subnormals subnormals) {
  check_sizes("exp2", x.size(), y.size());
  subnormals == Subnormals::flush ? HWY_DYNAMIC_DISPATCH(Exp2Flush)(x.data(), x.size(), y.data())
                                  : HWY_DYNAMIC_DISPATCH(Exp2Keep)(x.data(), x.size(), y.data());
}

std::size_t exp2_undecided(std::span<const float> x) {
  return HWY_DYNAMIC_DISPATCH(Exp2Undecided)(x.data(), x.size());
}

double exp2_f64(double x) {
  if (x != x) return x;
  if (x < -1022) return 0;
  if (x >= 1024) return std::numeric_limits<double>::infinity();
  return x < 1023 ? exp2_core(x) : 2 * exp2_core(x - 1);
}

void exp2_f64(std::span<const double> x, std::span<double> y) {
  check_sizes("exp2", x.size(), y.size());
  HWY_DYNAMIC_DISPATCH(Exp2F64)(x.data(), x.size(), y.data());
}

double log2_f64(double x) {
  // x = 2^e * m, m in [sqrt(1/2), sqrt(2)); log2 m = (2 / ln 2) * atanh(s), s = (m-1)/(m+1), and
  // |s| < 0.1716 so that the series in s^2 ends below 2^-58.
  const auto bits = std::bit_cast<std::uint64_t>(x);
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCD;
  const std::uint64_t from_root = bits - kSqrtHalf;
  const auto e = static_cast<std::int64_t>(from_root) >> 52;
  const double m = std::bit_cast<double>((from_root & 0xFFFFFFFFFFFFF) + kSqrtHalf);
  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  constexpr double kTwoOverLn2 = 0x1.71547652b82fep+1;
  constexpr double kTwoOverLn2Low = 0x1.777d0ffda0d24p-55;
  double tail = kTwoOverLn2 / 21;
  for (int k = 19; k >= 3; k -= 2) tail = tail * z + kTwoOverLn2 / k;
  return static_cast<double>(e) + (s * kTwoOverLn2 + s * (z * tail + kTwoOverLn2Low));
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
