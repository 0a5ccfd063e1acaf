// f16 accumulators of the fast chains: exact sums in f32 or f64 lanes, rounded to nearest even.
// With M = 2^(e + p - 10), e the sum's exponent and p the lanes' fraction bits, ulp(M) is the f16
// grid, so |sum| + M rounds there and the subtraction is exact.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain/round.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <bit>

#include "karat/numerics/chain/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<float>;
using D64 = hn::ScalableTag<double>;
using DHalf32 = hn::Rebind<float, D64>;

/// The nearest f16, ties to even, cut at 2^16; a zero result is +0.
template <class D>
HWY_INLINE hn::Vec<D> RoundToF16(D d, hn::Vec<D> sum) {
  constexpr bool kWide = sizeof(hn::TFromD<D>) == 8;
  constexpr int kFraction = kWide ? 52 : 23;
  const hn::RebindToUnsigned<D> du;
  const auto exponent_bits =
      hn::Set(du, kWide ? static_cast<hn::TFromD<decltype(du)>>(0x7FF0000000000000u)
                        : static_cast<hn::TFromD<decltype(du)>>(0x7F800000u));
  const auto power = hn::BitCast(d, hn::And(hn::BitCast(du, sum), exponent_bits));
  const auto raised = hn::Max(power, hn::Set(d, static_cast<hn::TFromD<D>>(0x1p-14)));
  const auto grid = hn::Set(d, static_cast<hn::TFromD<D>>(std::uint64_t{1} << (kFraction - 10)));
  const auto m = hn::Mul(raised, grid);
  const auto magnitude = hn::Sub(hn::Add(hn::Abs(sum), m), m);
  const auto limit = hn::Set(d, static_cast<hn::TFromD<D>>(0x1p16));
  return hn::Add(hn::CopySign(hn::Min(magnitude, limit), sum), hn::Zero(d));
}

/// 2^16 becomes Inf.
template <class D>
HWY_INLINE hn::Vec<D> Overflowed(D d, hn::Vec<D> rounded) {
  const auto infinity = hn::Set(d, std::bit_cast<float>(0x7F800000u));
  const auto over = hn::Ge(hn::Abs(rounded), hn::Set(d, 0x1p16f));
  return hn::IfThenElse(over, hn::CopySign(infinity, rounded), rounded);
}

/// `rounded` unless c, the step's input, or the sum is not finite.
template <class D, class M>
HWY_INLINE hn::Vec<D> Selected(D d, hn::Vec<D> c, M sum_finite, hn::Vec<D> rounded) {
  const auto infinity = hn::Set(d, std::bit_cast<float>(0x7F800000u));
  const auto nan = hn::Set(d, std::bit_cast<float>(0x7FFFFFFFu));
  const auto result = hn::IfThenElse(sum_finite, Overflowed(d, rounded), nan);
  const auto kept = hn::IfThenElse(hn::Eq(hn::Abs(c), infinity), c, result);
  return hn::IfThenElse(hn::Eq(c, c), kept, nan);
}

/// Narrows the lanes of an f64 comparison.
HWY_INLINE auto FiniteF64(hn::Vec<D64> sum) {
  const D64 d;
  const DHalf32 df;
  const auto largest = hn::Set(d, std::bit_cast<double>(std::uint64_t{0x7FEFFFFFFFFFFFFF}));
  const auto one = hn::IfThenElseZero(hn::Le(hn::Abs(sum), largest), hn::Set(d, 1.0));
  return hn::Gt(hn::DemoteTo(df, one), hn::Zero(df));
}

void RoundF16From32(const StepArguments& s) {
  const D32 d;
  const auto infinity = hn::Set(d, std::bit_cast<float>(0x7F800000u));
  for (std::size_t row = 0; row < s.rows; ++row) {
    for (std::size_t j = 0; j < s.columns; j += hn::Lanes(d)) {
      const std::size_t at = row * kPanel + j;
      const auto sum = hn::Load(d, s.sums32 + at);
      const auto c = hn::Load(d, s.accumulators + at);
      const auto finite = hn::Lt(hn::Abs(sum), infinity);
      hn::Store(Selected(d, c, finite, RoundToF16(d, sum)), d, s.accumulators + at);
    }
  }
}

void RoundF16From64(const StepArguments& s) {
  const D64 d;
  const DHalf32 df;
  for (std::size_t row = 0; row < s.rows; ++row) {
    for (std::size_t j = 0; j < s.columns; j += hn::Lanes(d)) {
      const std::size_t at = row * kPanel + j;
      const auto sum = hn::Load(d, s.sums64 + at);
      const auto c = hn::Load(df, s.accumulators + at);
      const auto rounded = hn::DemoteTo(df, RoundToF16(d, sum));
      hn::Store(Selected(df, c, FiniteF64(sum), rounded), df, s.accumulators + at);
    }
  }
}

/// Two f16 are multiples of 2^-24 below 2^16: their sum is exact in f64.
void AddF16(const float* c, float* sums, std::size_t count) {
  const D64 d;
  const DHalf32 df;
  const auto infinity = hn::Set(df, std::bit_cast<float>(0x7F800000u));
  const auto nan = hn::Set(df, std::bit_cast<float>(0x7FFFFFFFu));
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    const auto x = hn::Load(df, sums + i), y = hn::LoadU(df, c + i);
    const auto exact = hn::Add(hn::PromoteTo(d, x), hn::PromoteTo(d, y));
    const auto rounded = Overflowed(df, hn::DemoteTo(df, RoundToF16(d, exact)));
    const auto special = hn::Add(x, y);  // the result where an addend is not finite
    const auto plain = hn::Lt(hn::Max(hn::Abs(x), hn::Abs(y)), infinity);
    const auto sum = hn::IfThenElse(plain, rounded, special);
    hn::Store(hn::IfThenElse(hn::Eq(special, special), sum, nan), df, sums + i);
  }
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(RoundF16From32);
HWY_EXPORT(RoundF16From64);
HWY_EXPORT(AddF16);
}  // namespace

void run_round_f16(const StepArguments& s, Lanes lanes) {
  lanes == Lanes::split_f32 ? HWY_DYNAMIC_DISPATCH(RoundF16From32)(s)
                            : HWY_DYNAMIC_DISPATCH(RoundF16From64)(s);
}
void run_add_f16(const float* c, float* sums, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(AddF16)(c, sums, count);
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
