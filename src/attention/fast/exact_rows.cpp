// f64 lanes with run-time dispatch; conversions to f32 round to nearest even, as casts do.
#include "karat/numerics/arithmetic/fp32.hpp"
#include "karat/numerics/base/simd.hpp"
#include "softmax_rows.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fast/exact_rows.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "lanes-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {

using D64 = hn::CappedTag<double, 8>;
using D32 = hn::Rebind<float, D64>;
using DU32 = hn::RebindToUnsigned<D32>;

void Widen(const float* x, double* y, size_t n) {
  const D64 d;
  for (size_t i = 0; i < n; i += hn::Lanes(d))
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(D32(), x + i)), d, y + i);
}

void NarrowNearest(const double* x, double factor, float* y, size_t n) {
  const D64 d;
  const auto f = hn::Set(d, factor);
  for (size_t i = 0; i < n; i += hn::Lanes(d))
    hn::StoreU(Narrowed(d, hn::Mul(hn::LoadU(d, x + i), f)), D32(), y + i);
}

void NarrowToOdd(const double* x, double factor, float* y, size_t n) {
  const D64 d;
  const D32 d32;
  const DU32 du;
  const auto f = hn::Set(d, factor);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto exact = hn::Mul(hn::LoadU(d, x + i), f);
    const auto nearest = Narrowed(d, exact);
    const auto back = hn::PromoteTo(d, nearest);
    // Where nearest is not exact, and where it lies beyond: 1 as a 32-bit lane.
    const auto flag = [&](auto mask) HWY_ATTR {
      return hn::BitCast(du, hn::DemoteTo(d32, hn::IfThenElseZero(mask, hn::Set(d, 0x1p-149))));
    };
    const auto inexact = flag(hn::And(hn::Ne(back, exact), hn::Eq(exact, exact)));
    const auto outside = flag(hn::Gt(hn::Abs(back), hn::Abs(exact)));
    const auto cut = hn::Sub(hn::BitCast(du, nearest), outside);
    hn::StoreU(hn::BitCast(d32, hn::Or(cut, inexact)), d32, y + i);
  }
}

void MultiplyRow(float* o, double factor, numerics::Fp32 fp, size_t n) {
  const D64 d;
  const D32 d32;
  const auto f = hn::Set(d, factor);
  const auto least = hn::Set(d32, fp.subnormals == numerics::Subnormals::flush ? 0x1p-126f : 0.0f);
  size_t j = 0;
  for (; j + hn::Lanes(d) <= n; j += hn::Lanes(d)) {
    const auto product = Narrowed(d, hn::Mul(hn::PromoteTo(d, hn::LoadU(d32, o + j)), f));
    const auto sign = hn::And(product, hn::SignBit(d32));
    hn::StoreU(hn::IfThenElse(hn::Lt(hn::Abs(product), least), sign, product), d32, o + j);
  }
  for (; j < n; ++j) o[j] = fp.multiply(o[j], factor);
}

void MultiplyRowsExactly(Block o, const double* factor, numerics::Fp32 fp) {
  for (size_t i = 0; i < o.rows; ++i) MultiplyRow(o.row(i), factor[i], fp, o.columns);
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
namespace {
HWY_EXPORT(Widen);
HWY_EXPORT(NarrowNearest);
HWY_EXPORT(NarrowToOdd);
HWY_EXPORT(MultiplyRowsExactly);
}  // namespace

void widen(std::span<const float> x, std::span<double> y) {
  HWY_DYNAMIC_DISPATCH(Widen)(x.data(), y.data(), x.size());
}
void narrow_nearest(std::span<const double> x, double factor, std::span<float> y) {
  HWY_DYNAMIC_DISPATCH(NarrowNearest)(x.data(), factor, y.data(), x.size());
}
void narrow_to_odd(std::span<const double> x, double factor, std::span<float> y) {
  HWY_DYNAMIC_DISPATCH(NarrowToOdd)(x.data(), factor, y.data(), x.size());
}
void multiply_rows(Block o, std::span<const double> factor, numerics::Subnormals subnormals) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowsExactly)(o, factor.data(), numerics::Fp32{subnormals});
}

}  // namespace karat::attention
#endif  // HWY_ONCE
