// Highway loops with run-time dispatch. Only targets that truly fuse are generated besides the
// portable one, so MulAdd means one rounding everywhere.
#include "softmax_rows.hpp"

#include <cmath>

#include "karat/numerics/simd.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "softmax_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using numerics::Subnormals;

V Flushed(V x, Subnormals subnormals) {
  const D d;
  if (subnormals == Subnormals::keep) return x;
  const V sign = hn::And(x, hn::SignBit(d));
  return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 1.17549435e-38f)), sign, x);
}

V Fused(V a, V b, V c) {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  const D d;
  HWY_ALIGN float x[HWY_MAX_BYTES / 4], y[HWY_MAX_BYTES / 4], z[HWY_MAX_BYTES / 4];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (size_t i = 0; i < hn::Lanes(d); ++i) x[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, x);
#else
  return hn::MulAdd(a, b, c);
#endif
}

/// Applies f(vector of x[j], j) over n elements; the tail goes through a padded buffer.
template <typename F>
void ForEach(const float* x, float* y, size_t n, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= n; j += lanes) hn::StoreU(f(hn::LoadU(d, x + j), j), d, y + j);
  if (j == n) return;
  HWY_ALIGN float tail[HWY_MAX_BYTES / 4] = {};
  for (size_t t = j; t < n; ++t) tail[t - j] = x[t];
  hn::Store(f(hn::Load(d, tail), j), d, tail);
  for (size_t t = j; t < n; ++t) y[t] = tail[t - j];
}

/// Column factors at j; the caller guarantees a vector's worth of readable padding behind them.
void ScaleScores(Block a, const float* row_scale, const float* column_scale, float c,
                 recipe::ScaleOrder order, Subnormals sub, Block s) {
  const D d;
  const V vc = hn::Set(d, c);
  for (size_t i = 0; i < a.rows; ++i) {
    const V r = hn::Set(d, row_scale[i]);
    if (order == recipe::ScaleOrder::sequential) {
      ForEach(a.row(i), s.row(i), a.columns, [&](V x, size_t j) HWY_ATTR {
        const V scaled = Flushed(hn::Mul(x, r), sub);
        const V both = Flushed(hn::Mul(scaled, hn::LoadU(d, column_scale + j)), sub);
        return Flushed(hn::Mul(both, vc), sub);
      });
    } else {
      ForEach(a.row(i), s.row(i), a.columns, [&](V x, size_t j) HWY_ATTR {
        const V product = Flushed(hn::Mul(r, hn::LoadU(d, column_scale + j)), sub);
        return Flushed(hn::Mul(x, Flushed(hn::Mul(product, vc), sub)), sub);
      });
    }
  }
}

void Multiply(const float* x, float factor, Subnormals sub, float* y, size_t n) {
  const V f = hn::Set(D(), factor);
  ForEach(x, y, n, [&](V v, size_t) HWY_ATTR { return Flushed(hn::Mul(v, f), sub); });
}

void MultiplyColumns(Block t, const float* factor, Subnormals sub) {
  for (size_t i = 0; i < t.rows; ++i)
    ForEach(t.row(i), t.row(i), t.columns, [&](V v, size_t j) HWY_ATTR {
      return Flushed(hn::Mul(v, hn::LoadU(D(), factor + j)), sub);
    });
}

void RowMaxima(Block s, float* maxima) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < s.rows; ++i) {
    const float* row = s.row(i);
    V best = hn::Set(d, -HUGE_VALF);
    size_t j = 0;
    for (; j + lanes <= s.columns; j += lanes) best = hn::Max(best, hn::LoadU(d, row + j));
    float maximum = hn::GetLane(hn::MaxOfLanes(d, best));
    for (; j < s.columns; ++j) maximum = row[j] > maximum ? row[j] : maximum;
    maxima[i] = maximum;
  }
}

void SubtractRows(Block s, const float* reference, Subnormals sub, Block x) {
  for (size_t i = 0; i < s.rows; ++i) {
    const V r = hn::Set(D(), reference[i]);
    ForEach(s.row(i), x.row(i), s.columns,
            [&](V v, size_t) HWY_ATTR { return Flushed(hn::Sub(v, r), sub); });
  }
}

void FusedRows(Block s, const float* factor, const float* reference, Subnormals sub, Block x) {
  for (size_t i = 0; i < s.rows; ++i) {
    const V f = hn::Set(D(), factor[i]);
    const V r = hn::Set(D(), -reference[i]);
    ForEach(s.row(i), x.row(i), s.columns,
            [&](V v, size_t) HWY_ATTR { return Flushed(Fused(v, f, r), sub); });
  }
}

void Add(float* o, const float* t, Subnormals sub, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= n; j += lanes)
    hn::StoreU(Flushed(hn::Add(hn::LoadU(d, o + j), hn::LoadU(d, t + j)), sub), d, o + j);
  for (; j < n; ++j) {
    const float sum = o[j] + t[j];
    const bool tiny = std::abs(sum) < 1.17549435e-38f && sub == Subnormals::flush;
    o[j] = tiny ? std::copysign(0.0f, sum) : sum;
  }
}

size_t CountAbove(const float* x, float largest, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V limit = hn::Set(d, largest);
  size_t count = 0;
  size_t j = 0;
  for (; j + lanes <= n; j += lanes)
    count += hn::CountTrue(d, hn::Gt(hn::Abs(hn::LoadU(d, x + j)), limit));
  for (; j < n; ++j) count += std::abs(x[j]) > largest;
  return count;
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
HWY_EXPORT(ScaleScores);
HWY_EXPORT(Multiply);
HWY_EXPORT(MultiplyColumns);
HWY_EXPORT(RowMaxima);
HWY_EXPORT(SubtractRows);
HWY_EXPORT(FusedRows);
HWY_EXPORT(Add);
HWY_EXPORT(CountAbove);

void scale_scores(Block a, std::span<const float> row_scale, std::span<const float> column_scale,
                  float c, recipe::ScaleOrder order, numerics::Subnormals subnormals, Block s) {
  HWY_DYNAMIC_DISPATCH(ScaleScores)
  (a, row_scale.data(), column_scale.data(), c, order, subnormals, s);
}
void scale_scores(Block a, float factor, numerics::Subnormals subnormals, Block s) {
  for (std::size_t i = 0; i < a.rows; ++i)
    multiply({a.row(i), a.columns}, factor, subnormals, {s.row(i), s.columns});
}
void row_maxima(Block s, std::span<float> maxima) {
  HWY_DYNAMIC_DISPATCH(RowMaxima)(s, maxima.data());
}
void subtract_rows(Block s, std::span<const float> reference, numerics::Subnormals subnormals,
                   Block x) {
  HWY_DYNAMIC_DISPATCH(SubtractRows)(s, reference.data(), subnormals, x);
}
void fused_rows(Block s, std::span<const float> factor, std::span<const float> reference,
                numerics::Subnormals subnormals, Block x) {
  HWY_DYNAMIC_DISPATCH(FusedRows)(s, factor.data(), reference.data(), subnormals, x);
}
void multiply(std::span<const float> x, float factor, numerics::Subnormals subnormals,
              std::span<float> y) {
  HWY_DYNAMIC_DISPATCH(Multiply)(x.data(), factor, subnormals, y.data(), x.size());
}
void multiply_rows(Block o, std::span<const float> factor, numerics::Subnormals subnormals) {
  for (std::size_t i = 0; i < o.rows; ++i)
    multiply({o.row(i), o.columns}, factor[i], subnormals, {o.row(i), o.columns});
}
void multiply_columns(Block t, std::span<const float> factor, numerics::Subnormals subnormals) {
  HWY_DYNAMIC_DISPATCH(MultiplyColumns)(t, factor.data(), subnormals);
}
void add(std::span<float> o, std::span<const float> t, numerics::Subnormals subnormals) {
  HWY_DYNAMIC_DISPATCH(Add)(o.data(), t.data(), subnormals, o.size());
}
std::int64_t count_above(std::span<const float> x, float largest) {
  return static_cast<std::int64_t>(HWY_DYNAMIC_DISPATCH(CountAbove)(x.data(), largest, x.size()));
}

}  // namespace karat::attention
#endif  // HWY_ONCE
