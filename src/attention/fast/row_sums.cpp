// A vector holds the four partial sums of each of several rows. A sum is a chain of dependent
// additions, so two vectors take turns.
#include "karat/numerics/arithmetic/fp32.hpp"
#include "karat/numerics/base/simd.hpp"
#include "softmax_rows.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fast/row_sums.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "lanes-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {
using numerics::Fp32;
using recipe::RowSumStart;

/// The definition: one row, one term after the other.
template <typename T>
void AddOneRow(const T* row, size_t count, T alpha, Fp32 fp, RowSumStart start, float* l) {
  const bool fused = start == RowSumStart::fused_first;
  for (size_t lane = 0; lane < 4; ++lane) {
    const size_t first = 2 * lane;
    l[lane] = !fused || first >= count ? fp.multiply(l[lane], alpha)
                                       : fp.fused(l[lane], alpha, row[first]);
  }
  for (size_t n = 0; n < count; ++n)
    if (!fused || n >= 8 || n % 2 == 1) l[n / 2 % 4] = fp.add(l[n / 2 % 4], row[n]);
}

#if HWY_TARGET == HWY_SCALAR
template <typename T>
size_t AddRows(BlockOf<T>, const T*, Fp32, RowSumStart, float*) {
  return 0;
}
#else
template <typename T>
using Lanes = hn::CappedTag<T, 64 / sizeof(T)>;
template <typename T>
using Vector = hn::Vec<Lanes<T>>;

/// Columns n..n+7 of as many rows as a vector holds quads, cut into even and odd columns.
template <typename T>
HWY_INLINE void LoadPairs(const T* row, size_t stride, Vector<T>& even, Vector<T>& odd) {
  const Lanes<T> d;
  const size_t lanes = hn::Lanes(d);
  Vector<T> low, high;
  if (lanes == 16) {
    const hn::Half<Lanes<T>> half;
    low = hn::Combine(d, hn::LoadU(half, row + stride), hn::LoadU(half, row));
    high = hn::Combine(d, hn::LoadU(half, row + 3 * stride), hn::LoadU(half, row + 2 * stride));
  } else {
    low = hn::LoadU(d, row);
    high = hn::LoadU(d, lanes == 8 ? row + stride : row + 4);
  }
  even = hn::ConcatEven(d, high, low);
  odd = hn::ConcatOdd(d, high, low);
}

/// A vector of partial sums; held in T, always f32 values.
HWY_INLINE Vector<float> LoadSums(const float* from, float) {
  return hn::LoadU(Lanes<float>(), from);
}
HWY_INLINE Vector<double> LoadSums(const float* from, double) {
  const Lanes<double> d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Lanes<double>>(), from));
}
HWY_INLINE void StoreSums(Vector<float> sums, float* to) { hn::StoreU(sums, Lanes<float>(), to); }
HWY_INLINE void StoreSums(Vector<double> sums, float* to) {
  const hn::Rebind<float, Lanes<double>> d;
  hn::StoreU(Narrowed(Lanes<double>(), sums), d, to);
}

/// Sums of what is zero or normal and not negative are never subnormal: no flush.
template <Subnormals kSubnormals>
HWY_INLINE Vector<float> Sum(Vector<float> a, Vector<float> b) {
  return hn::Add(a, b);
}
template <Subnormals kSubnormals>
HWY_INLINE Vector<double> Rounded(Vector<double> x) {
  const Lanes<double> d;
  const auto rounded = hn::PromoteTo(d, Narrowed(d, x));
  if constexpr (kSubnormals == Subnormals::keep) return rounded;
  return hn::IfThenZeroElse(hn::Lt(rounded, hn::Set(d, 0x1p-126)), rounded);  // never negative
}
template <Subnormals kSubnormals>
HWY_INLINE Vector<double> Sum(Vector<double> a, Vector<double> b) {
  return Rounded<kSubnormals>(hn::Add(a, b));
}
template <Subnormals kSubnormals>
HWY_INLINE Vector<float> Product(Vector<float> a, Vector<float> b) {
  return Flushed<kSubnormals>(hn::Mul(a, b));
}
template <Subnormals kSubnormals>
HWY_INLINE Vector<double> Product(Vector<double> a, Vector<double> b) {
  return Rounded<kSubnormals>(hn::Mul(a, b));
}

/// The past and its first term.
template <Subnormals kSubnormals, RowSumStart kStart, typename T>
HWY_INLINE Vector<T> Begun(Vector<T> sums, Vector<T> alpha, Vector<T> term) {
  if constexpr (kStart == RowSumStart::fused_first)
    return Flushed<kSubnormals>(Fused(sums, alpha, term));
  else
    return Sum<kSubnormals>(Product<kSubnormals>(sums, alpha), term);
}

template <Subnormals kSubnormals, RowSumStart kStart, typename T>
size_t AddRows(BlockOf<T> terms, const T* alpha, float* partial) {
  const Lanes<T> d;
  const size_t lanes = hn::Lanes(d), rows = lanes / 4;
  if (rows == 0) return 0;  // two lanes of f64 hold no row's four sums
  size_t i = 0;
  for (; i + 2 * rows <= terms.rows; i += 2 * rows) {
    const T* first = terms.row(i);
    const T* second = terms.row(i + rows);
    HWY_ALIGN T factor[2 * hn::MaxLanes(Lanes<T>())];
    for (size_t lane = 0; lane < 2 * lanes; ++lane) factor[lane] = alpha[i + lane / 4];
    float* place = partial + 4 * i;
    Vector<T> even, odd;
    LoadPairs(first, terms.stride, even, odd);
    auto x = Sum<kSubnormals>(
        Begun<kSubnormals, kStart, T>(LoadSums(place, T()), hn::Load(d, factor), even), odd);
    LoadPairs(second, terms.stride, even, odd);
    auto y = Sum<kSubnormals>(Begun<kSubnormals, kStart, T>(LoadSums(place + lanes, T()),
                                                            hn::Load(d, factor + lanes), even),
                              odd);
    for (size_t n = 8; n < terms.stride; n += 8) {
      LoadPairs(first + n, terms.stride, even, odd);
      x = Sum<kSubnormals>(Sum<kSubnormals>(x, even), odd);
      LoadPairs(second + n, terms.stride, even, odd);
      y = Sum<kSubnormals>(Sum<kSubnormals>(y, even), odd);
    }
    StoreSums(x, place);
    StoreSums(y, place + lanes);
  }
  return i;
}

template <typename T>
size_t AddRows(BlockOf<T> terms, const T* alpha, Fp32 fp, RowSumStart start, float* partial) {
  const auto by_start = [&]<Subnormals kSubnormals>() HWY_ATTR -> size_t {
    if (start == RowSumStart::separate)
      return AddRows<kSubnormals, RowSumStart::separate>(terms, alpha, partial);
    // Fused in f64 is for studies: one row at a time.
    if constexpr (sizeof(T) == 8)
      return 0;
    else
      return AddRows<kSubnormals, RowSumStart::fused_first>(terms, alpha, partial);
  };
  return fp.subnormals == Subnormals::flush ? by_start.template operator()<Subnormals::flush>()
                                            : by_start.template operator()<Subnormals::keep>();
}
#endif  // HWY_TARGET == HWY_SCALAR

template <typename T>
void AddBlock(BlockOf<T> terms, const T* alpha, Fp32 fp, RowSumStart start, float* partial) {
  for (size_t i = AddRows(terms, alpha, fp, start, partial); i < terms.rows; ++i)
    AddOneRow(terms.row(i), terms.columns, alpha[i], fp, start, partial + 4 * i);
}

void AddF32(Block terms, const float* alpha, Fp32 fp, RowSumStart start, float* partial) {
  AddBlock(terms, alpha, fp, start, partial);
}
void AddF64(BlockOf<double> terms, const double* alpha, Fp32 fp, RowSumStart start,
            float* partial) {
  AddBlock(terms, alpha, fp, start, partial);
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
namespace {
HWY_EXPORT(AddF32);
HWY_EXPORT(AddF64);
}  // namespace

void add_quad_sums(const Kernel& kernel, Block terms, std::span<const float> alpha,
                   std::span<float> partial) {
  HWY_DYNAMIC_DISPATCH(AddF32)
  (terms, alpha.data(), kernel.fp32, kernel.recipe.softmax.row_sum_start, partial.data());
}
void add_quad_sums(const Kernel& kernel, BlockOf<double> terms, std::span<const double> alpha,
                   std::span<float> partial) {
  HWY_DYNAMIC_DISPATCH(AddF64)
  (terms, alpha.data(), kernel.fp32, kernel.recipe.softmax.row_sum_start, partial.data());
}

}  // namespace karat::attention
#endif  // HWY_ONCE
