// Highway loops with run-time dispatch. Subnormals are a template parameter, so that no loop asks.
#include "softmax_rows.hpp"

#include <bit>
#include <cstdint>

#include "karat/numerics/base/simd.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fast/softmax_rows.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "lanes-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {

constexpr float kInfinity = __builtin_huge_valf();
using Row = RowLoops::Row;
using Given = RowLoops::Given;

/// y[j] = f(x[j], j) over n elements; the tail goes through a padded buffer.
template <typename F>
HWY_INLINE void ForEach(const float* x, float* y, size_t n, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + lanes <= n; j += lanes) hn::StoreU(f(hn::LoadU(d, x + j), j), d, y + j);
  if (j == n) return;
  HWY_ALIGN float tail[hn::MaxLanes(D())] = {};
  for (size_t t = j; t < n; ++t) tail[t - j] = x[t];
  hn::Store(f(hn::Load(d, tail), j), d, tail);
  for (size_t t = j; t < n; ++t) y[t] = tail[t - j];
}

template <Subnormals kSubnormals>
struct Loops {
  static HWY_INLINE V Product(V a, V b) { return Flushed<kSubnormals>(hn::Mul(a, b)); }
  static HWY_INLINE V Sum(V a, V b) { return Flushed<kSubnormals>(hn::Add(a, b)); }
  static HWY_INLINE V Difference(V a, V b) { return Flushed<kSubnormals>(hn::Sub(a, b)); }

  static void ScaleColumns(Block a, Given row_scale, Given column_scale, float c,
                           recipe::ScaleOrder order, Block s) {
    const D d;
    const V vc = hn::Set(d, c);
    for (size_t i = 0; i < a.rows; ++i) {
      const V r = hn::Set(d, row_scale[i]);
      if (order == recipe::ScaleOrder::sequential) {
        ForEach(a.row(i), s.row(i), a.stride, [&](V x, size_t j) HWY_ATTR {
          return Product(Product(Product(x, r), hn::LoadU(d, &column_scale[j])), vc);
        });
      } else {
        ForEach(a.row(i), s.row(i), a.stride, [&](V x, size_t j) HWY_ATTR {
          return Product(x, Product(Product(r, hn::LoadU(d, &column_scale[j])), vc));
        });
      }
    }
  }

  static void ScaleRows(Block a, Given row_scale, float k, float c, recipe::ScaleOrder order,
                        Block s) {
    const D d;
    const V vk = hn::Set(d, k), vc = hn::Set(d, c);
    for (size_t i = 0; i < a.rows; ++i) {
      const V r = hn::Set(d, row_scale[i]);
      if (order == recipe::ScaleOrder::sequential) {
        ForEach(a.row(i), s.row(i), a.stride,
                [&](V x, size_t) HWY_ATTR { return Product(Product(Product(x, r), vk), vc); });
      } else {
        const V factor = Product(Product(r, vk), vc);
        ForEach(a.row(i), s.row(i), a.stride,
                [&](V x, size_t) HWY_ATTR { return Product(x, factor); });
      }
    }
  }

  static void ScaleAccumulators(Block a, Given row_scale, Given column_scale, float c, float offset,
                                Block f, Block s) {
    const D d;
    const V vc = hn::Set(d, c), minus = hn::Set(d, -offset);
    for (size_t i = 0; i < a.rows; ++i) {
      const V r = hn::Set(d, row_scale[i]);
      // Rows of one scale, its sign included, have the same factors.
      const auto word = [&](size_t row) { return std::bit_cast<std::uint32_t>(row_scale[row]); };
      const float* made = i > 0 && word(i) == word(i - 1) ? f.row(i - 1) : nullptr;
      for (size_t j = 0; j < a.stride; j += hn::Lanes(d)) {
        const V factor = made != nullptr ? hn::LoadU(d, made + j)
                                         : Product(Product(r, hn::LoadU(d, &column_scale[j])), vc);
        hn::StoreU(factor, d, f.row(i) + j);
        const V score = Fused(hn::LoadU(d, a.row(i) + j), factor, minus);
        hn::StoreU(Flushed<kSubnormals>(score), d, s.row(i) + j);
      }
    }
  }

  static void AdvanceMaxima(const MaximumStep& step, size_t n) {
    const D d;
    const V lowest = hn::Set(d, -kInfinity), zero = hn::Zero(d), one = hn::Set(d, 1.0f);
    const V threshold = hn::Set(d, step.threshold), offset = hn::Set(d, step.offset);
    const bool one_rounding = step.offset_enters == recipe::OffsetEnters::fused;
    for (size_t i = 0; i < n; i += hn::Lanes(d)) {
      // A factor of 1 changes nothing: differences are flushed already.
      const V f = step.fused_f == nullptr ? one : hn::LoadU(d, step.fused_f + i);
      const V m = hn::LoadU(d, step.m + i), block = hn::LoadU(d, step.block_maximum + i);
      const V candidate = hn::IfThenElse(hn::Gt(block, m), block, m);
      const V rise = Product(Difference(candidate, m), f);
      const V chosen = hn::IfThenElse(hn::Le(rise, threshold), m, candidate);
      const V next = hn::Add(chosen, zero);  // -0 becomes +0
      const auto none = hn::Eq(next, lowest);
      const V exponent = Product(Difference(m, next), f);
      const V scaled = step.fused_f == nullptr ? next : Product(next, f);  // m may be subnormal
      const V reference = one_rounding ? Flushed<kSubnormals>(Fused(next, f, hn::Neg(offset)))
                                       : Difference(scaled, offset);
      hn::StoreU(next, d, step.m + i);
      hn::StoreU(hn::IfThenElse(none, zero, exponent), d, step.alpha_exponent + i);
      hn::StoreU(hn::IfThenElse(none, zero, reference), d, step.reference + i);
    }
  }

  static void Multiply(Given x, float factor, Row y) {
    const V f = hn::Set(D(), factor);
    ForEach(x.data(), y.data(), x.size(), [&](V v, size_t) HWY_ATTR { return Product(v, f); });
  }

  static void MultiplyRows(Block o, Given factor) {
    for (size_t i = 0; i < o.rows; ++i) {
      const Row row(o.row(i), o.columns);
      Multiply(row, factor[i], row);
    }
  }

  static void MultiplyColumns(Block t, Given factor) {
    for (size_t i = 0; i < t.rows; ++i)
      ForEach(t.row(i), t.row(i), t.columns,
              [&](V v, size_t j) HWY_ATTR { return Product(v, hn::LoadU(D(), &factor[j])); });
  }

  static void Add(Row o, Given t) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    size_t j = 0;
    for (; j + lanes <= o.size(); j += lanes)
      hn::StoreU(Sum(hn::LoadU(d, &o[j]), hn::LoadU(d, &t[j])), d, &o[j]);
    for (; j < o.size(); ++j) o[j] = hn::GetLane(Sum(hn::Set(d, o[j]), hn::Set(d, t[j])));
  }

  static void MultiplyRowsAndAdd(Block o, Given factor, Block t) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    for (size_t i = 0; i < o.rows; ++i) {
      float* to = o.row(i);
      const float* from = t.row(i);
      const V f = hn::Set(d, factor[i]);
      size_t j = 0;
      for (; j + lanes <= o.columns; j += lanes)
        hn::StoreU(Sum(Product(hn::LoadU(d, to + j), f), hn::LoadU(d, from + j)), d, to + j);
      for (; j < o.columns; ++j)
        to[j] = hn::GetLane(Sum(Product(hn::Set(d, to[j]), f), hn::Set(d, from[j])));
    }
  }
};

/// x where it is larger than `best`: NaN is not.
HWY_INLINE V Larger(V best, V x) {
#if HWY_ARCH_X86
  return hn::Max(x, best);  // this processor's maximum is the second unless the first is larger
#else
  return hn::IfThenElse(hn::Gt(x, best), x, best);
#endif
}

void RowMaxima(Block s, Row maxima) {
  const D d;
  constexpr size_t kLanes = hn::MaxLanes(D()), kApart = 16 / kLanes;
  for (size_t i = 0; i < s.rows; ++i) {
    const float* row = s.row(i);
    // A comparison waits for the one before: several run side by side.
    V apart[kApart];
    for (V& x : apart) x = hn::Set(d, -kInfinity);
    for (size_t j = 0; j < s.stride; j += 16) {
      HWY_UNROLL(8) for (size_t v = 0; v < kApart; ++v) {
        apart[v] = Larger(apart[v], hn::LoadU(d, row + j + v * kLanes));
      }
    }
    V best = apart[0];
    for (const V& x : apart) best = Larger(best, x);
    // Some targets begin the reduction at the lowest finite number.
    const bool none = hn::AllTrue(d, hn::Eq(best, hn::Set(d, -kInfinity)));
    maxima[i] = none ? -kInfinity : hn::GetLane(hn::MaxOfLanes(d, best));
  }
}

void SubtractRows(Block s, Given reference, Block x) {
  for (size_t i = 0; i < s.rows; ++i) {
    const V r = hn::Set(D(), reference[i]);
    ForEach(s.row(i), x.row(i), s.stride, [&](V v, size_t) HWY_ATTR { return hn::Sub(v, r); });
  }
}

void FusedRows(Block s, Given factor, Given reference, Block x) {
  const D d;
  const V lowest = hn::Set(d, -kInfinity);
  for (size_t i = 0; i < s.rows; ++i) {
    const V f = hn::Set(d, factor[i]), r = hn::Set(d, -reference[i]);
    ForEach(s.row(i), x.row(i), s.stride, [&](V v, size_t) HWY_ATTR {
      return hn::IfThenElse(hn::Eq(v, lowest), lowest, Fused(v, f, r));
    });
  }
}

void ExponentsOfAccumulators(Block a, Block f, Block s, float masked, Given reference, Block x) {
  const D d;
  const V lowest = hn::Set(d, -kInfinity), given = hn::Set(d, masked);
  for (size_t i = 0; i < a.rows; ++i) {
    const V r = hn::Set(d, reference[i]), minus = hn::Set(d, -reference[i]);
    for (size_t j = 0; j < a.stride; j += hn::Lanes(d)) {
      const V score = hn::LoadU(d, s.row(i) + j);
      V exponent = Fused(hn::LoadU(d, a.row(i) + j), hn::LoadU(d, f.row(i) + j), minus);
      const auto is_masked = hn::Or(hn::Eq(score, lowest), hn::Eq(score, given));
      if (HWY_UNLIKELY(!hn::AllFalse(d, is_masked)))
        exponent = hn::IfThenElse(is_masked, hn::Sub(score, r), exponent);
      hn::StoreU(exponent, d, x.row(i) + j);
    }
  }
}

void KeepMasked(Block s, float masked, Given reference, Block x) {
  const D d;
  const V lowest = hn::Set(d, -kInfinity), given = hn::Set(d, masked);
  for (size_t i = 0; i < s.rows; ++i) {
    const V r = hn::Set(d, reference[i]);
    float* to = x.row(i);
    ForEach(s.row(i), to, s.stride, [&](V v, size_t j) HWY_ATTR {
      const auto is_masked = hn::Or(hn::Eq(v, lowest), hn::Eq(v, given));
      return hn::IfThenElse(is_masked, hn::Sub(v, r), hn::LoadU(d, to + j));
    });
  }
}

size_t CountAbove(Given x, float largest) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V limit = hn::Set(d, largest);
  size_t count = 0;
  size_t j = 0;
  for (; j + lanes <= x.size(); j += lanes)
    count += hn::CountTrue(d, hn::Gt(hn::Abs(hn::LoadU(d, &x[j])), limit));
  for (; j < x.size(); ++j) count += std::abs(x[j]) > largest;
  return count;
}

template <Subnormals kSubnormals>
constexpr RowLoops kLoops = {
    .scale_columns = &Loops<kSubnormals>::ScaleColumns,
    .scale_rows = &Loops<kSubnormals>::ScaleRows,
    .scale_accumulators = &Loops<kSubnormals>::ScaleAccumulators,
    .row_maxima = &RowMaxima,
    .advance_maxima = &Loops<kSubnormals>::AdvanceMaxima,
    .subtract_rows = &SubtractRows,
    .fused_rows = &FusedRows,
    .exponents_of_accumulators = &ExponentsOfAccumulators,
    .keep_masked = &KeepMasked,
    .multiply = &Loops<kSubnormals>::Multiply,
    .multiply_rows = &Loops<kSubnormals>::MultiplyRows,
    .multiply_columns = &Loops<kSubnormals>::MultiplyColumns,
    .add = &Loops<kSubnormals>::Add,
    .multiply_rows_and_add = &Loops<kSubnormals>::MultiplyRowsAndAdd,
    .count_above = &CountAbove,
};

const RowLoops* LoopsFor(Subnormals subnormals) {
  return subnormals == Subnormals::flush ? &kLoops<Subnormals::flush> : &kLoops<Subnormals::keep>;
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
namespace {
HWY_EXPORT(LoopsFor);
}  // namespace

const RowLoops& row_loops(numerics::Subnormals subnormals) {
  return *HWY_DYNAMIC_DISPATCH(LoopsFor)(subnormals);
}

}  // namespace karat::attention
#endif  // HWY_ONCE
