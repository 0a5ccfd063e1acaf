// exp2: x = n + f with |f| <= 1/2 exactly, 2^f = 1 + f * q(f) in f64 without fused operations, then
// n goes into the exponent. One sequence, in scalar and in vector form, so the bits agree.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/exp2.cpp"
#include "karat/numerics/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>

#include "karat/numerics/error.hpp"
#include "karat/numerics/exp2.hpp"
#include "karat/numerics/exp2_polynomial.hpp"

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

template <Subnormals kSubnormals>
void Exp2F32(const float* x, std::size_t count, float* y) {
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

void Exp2Flush(const float* x, std::size_t count, float* y) {
  Exp2F32<Subnormals::flush>(x, count, y);
}
void Exp2Keep(const float* x, std::size_t count, float* y) {
  Exp2F32<Subnormals::keep>(x, count, y);
}

void Exp2F64(const double* x, std::size_t count, double* y) {
  const D64 d;
  const std::size_t lanes = hn::Lanes(d);
  const V64 infinity = hn::Set(d, std::numeric_limits<double>::infinity());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V64 in = hn::LoadU(d, x + i);
    const V64 bounded = hn::Min(hn::Max(in, hn::Set(d, -1022.0)), hn::Set(d, 1023.0));
    V64 power = hn::IfThenElse(hn::Lt(in, hn::Set(d, 1023.0)), Exp2Core(bounded),
                               // 2 * 2^(x-1) keeps the exponent field in range up to 1024.
                               hn::Mul(Exp2Core(hn::Sub(hn::Min(in, hn::Set(d, 1024.0)),
                                                        hn::Set(d, 1.0))),
                                       hn::Set(d, 2.0)));
    power = hn::IfThenElse(hn::Ge(in, hn::Set(d, 1024.0)), infinity, power);
    power = hn::IfThenElse(hn::Lt(in, hn::Set(d, -1022.0)), hn::Zero(d), power);
    hn::StoreU(hn::IfThenElse(hn::Eq(in, in), power, in), d, y + i);
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

void check_sizes(std::size_t from, std::size_t to) {
  if (from != to) {
    throw Error(ErrorKind::internal, "exp2",
                "sizes differ: " + std::to_string(from) + " and " + std::to_string(to));
  }
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
  check_sizes(x.size(), y.size());
  subnormals == Subnormals::flush ? HWY_DYNAMIC_DISPATCH(Exp2Flush)(x.data(), x.size(), y.data())
                                  : HWY_DYNAMIC_DISPATCH(Exp2Keep)(x.data(), x.size(), y.data());
}

double exp2_f64(double x) {
  if (x != x) return x;
  if (x < -1022) return 0;
  if (x >= 1024) return std::numeric_limits<double>::infinity();
  return x < 1023 ? exp2_core(x) : 2 * exp2_core(x - 1);
}

void exp2_f64(std::span<const double> x, std::span<double> y) {
  check_sizes(x.size(), y.size());
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
