// What the vector sources of this layer share, once per target: up to 16 lanes of f32, a flush, a
// fused multiply-add. No include guard in the usual form: foreach_target.h includes it repeatedly.
#if defined(KARAT_ATTENTION_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef KARAT_ATTENTION_LANES_INL_HPP
#undef KARAT_ATTENTION_LANES_INL_HPP
#else
#define KARAT_ATTENTION_LANES_INL_HPP
#endif

#include <hwy/highway.h>

#include <cmath>

#include "karat/numerics/functions/exp2.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using numerics::Subnormals;

/// No more than 16, so that rows padded to a multiple of 16 have no tail.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

/// Subnormals become zeros of their sign, unless kept.
template <Subnormals kSubnormals>
HWY_INLINE V Flushed(V x) {
  if constexpr (kSubnormals == Subnormals::keep) return x;
  const D d;
  const auto tiny = hn::Lt(hn::Abs(x), hn::Set(d, 1.17549435e-38f));
#if HWY_TARGET <= HWY_AVX3
  return hn::IfThenElse(tiny, hn::And(x, hn::SignBit(d)), x);
#else
  // Where masks are vectors, clearing bits takes fewer operations than a choice.
  return hn::AndNot(hn::AndNot(hn::SignBit(d), hn::VecFromMask(d, tiny)), x);
#endif
}

/// The nearest f32 of f64 lanes. Conversions without instructions of their own stop at the largest
/// number, from where on the nearest one is Inf.
template <class D64>
HWY_INLINE auto Narrowed(D64 d, hn::Vec<D64> x) {
  const hn::Rebind<float, D64> narrow;
  const auto nearest = hn::DemoteTo(narrow, x);
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  const auto over = hn::Ge(hn::Abs(x), hn::Set(d, 0x1.ffffffp127));
  const auto one = hn::DemoteTo(narrow, hn::IfThenElseZero(over, hn::Set(d, 1.0)));
  const auto infinity = hn::CopySign(hn::Set(narrow, HUGE_VALF), nearest);
  return hn::IfThenElse(hn::Gt(one, hn::Zero(narrow)), infinity, nearest);
#else
  (void)d;
  return nearest;
#endif
}

/// a b + c with one rounding on every target.
HWY_INLINE V Fused(V a, V b, V c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  const D d;
  HWY_ALIGN float x[hn::MaxLanes(D())], y[hn::MaxLanes(D())], z[hn::MaxLanes(D())];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (size_t i = 0; i < hn::Lanes(d); ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
