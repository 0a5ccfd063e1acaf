// The fast chains of instructions without an aligned sum: fused multiply-adds in order of k, exact
// sums in f64.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain/plain.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "karat/numerics/chain/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<float>;
using V32 = hn::Vec<D32>;

/// a * b + c with one rounding on every target.
HWY_INLINE V32 Fused(D32 d, V32 a, V32 b, V32 c) {
#if HWY_NATIVE_FMA
  (void)d;
  return hn::MulAdd(a, b, c);
#else
  HWY_ALIGN float x[hn::MaxLanes(D32())], y[hn::MaxLanes(D32())], z[hn::MaxLanes(D32())];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

HWY_INLINE V32 CanonicalNan(V32 x) {
  return hn::IfThenElse(hn::Eq(x, x), x, hn::Set(D32(), std::bit_cast<float>(0x7FFFFFFFu)));
}

/// kRows rows by kColumns vectors at a time, so that a column vector is loaded once for all rows.
template <std::size_t kRows, std::size_t kColumns>
HWY_INLINE void FusedPass(const StepArguments& s, std::size_t row, std::size_t column) {
  const D32 d;
  const std::size_t lanes = hn::Lanes(d);
  float* place = s.accumulators + row * s.accumulator_stride + column;
  V32 sum[kRows][kColumns];
  HWY_UNROLL(4) for (std::size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kColumns; ++v) {
      sum[r][v] = s.start == Start::absent
                      ? hn::Zero(d)
                      : hn::LoadU(d, place + r * s.accumulator_stride + v * lanes);
    }
  }
  const float* a = s.a32 + row * s.a_stride;
  const float* b = s.b32 + column;
  for (std::size_t k = 0; k < s.length; ++k, b += kPanel) {
    V32 values[kColumns];
    HWY_UNROLL(4) for (std::size_t v = 0; v < kColumns; ++v) values[v] = hn::Load(d, b + v * lanes);
    HWY_UNROLL(4) for (std::size_t r = 0; r < kRows; ++r) {
      const V32 factor = hn::Set(d, a[r * s.a_stride + k]);
      HWY_UNROLL(4) for (std::size_t v = 0; v < kColumns; ++v) {
        sum[r][v] = Fused(d, factor, values[v], sum[r][v]);
      }
    }
  }
  HWY_UNROLL(4) for (std::size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kColumns; ++v) {
      hn::StoreU(CanonicalNan(sum[r][v]), d, place + r * s.accumulator_stride + v * lanes);
    }
  }
}

template <std::size_t kColumns>
HWY_INLINE void FusedRows(const StepArguments& s, std::size_t column) {
  std::size_t i = 0;
  for (; i + 4 <= s.rows; i += 4) FusedPass<4, kColumns>(s, i, column);
  for (; i < s.rows; ++i) FusedPass<1, kColumns>(s, i, column);
}

void FusedChain(const StepArguments& s) {
  constexpr std::size_t kMost = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  const std::size_t lanes = hn::Lanes(D32());
  std::size_t left = (s.columns + lanes - 1) / lanes, column = 0;
  for (; left >= kMost; left -= kMost, column += kMost * lanes) FusedRows<kMost>(s, column);
  switch (left) {
    case 0: break;
    case 1: FusedRows<1>(s, column); break;
    case 2: FusedRows<2>(s, column); break;
    default: FusedRows<3>(s, column); break;
  }
}

using D64 = hn::ScalableTag<double>;
using DHalf32 = hn::Rebind<float, D64>;
using V64 = hn::Vec<D64>;

/// Rows and vectors of columns whose f64 sums stay in registers.
constexpr std::size_t kExactRows = HWY_TARGET <= HWY_AVX3 ? 8 : 6;
static_assert(kExactRowGroup % kExactRows == 0);
constexpr std::size_t kExactColumns = 2;

/// The nearest f32; Inf from the middle between the largest f32 and 2^128 on, where a narrowing
/// conversion stops at the largest on some targets.
HWY_INLINE hn::Vec<DHalf32> NearestF32(V64 x) {
  const D64 d;
  const DHalf32 df;
  const auto over = hn::Ge(hn::Abs(x), hn::Set(d, 0x1.ffffffp127));
  const auto is_over = hn::Gt(hn::DemoteTo(df, hn::IfThenElseZero(over, hn::Set(d, 1.0))), hn::Zero(df));
  const auto finite = hn::DemoteTo(df, x);
  const auto infinity = hn::Set(df, std::bit_cast<float>(0x7F800000u));
  const auto result = hn::IfThenElse(is_over, hn::CopySign(infinity, finite), finite);
  const auto nan = hn::Set(df, std::bit_cast<float>(0x7FFFFFFFu));
  return hn::IfThenElse(hn::Eq(result, result), result, nan);
}

/// `rows` <= kExactRows rows from `row` on by the vectors from `column` on, whose operands are `b`,
/// [k][kExactColumns vectors] in f64. Products of two f32 are exact in f64, so fused or not is the
/// same.
HWY_INLINE void ExactPass(const StepArguments& s, std::size_t row, std::size_t rows,
                          std::size_t column, const double* b) {
  const D64 d;
  const DHalf32 df;
  const std::size_t lanes = hn::Lanes(d);
  V64 sum[kExactRows][kExactColumns];
  float* place = s.accumulators + row * s.accumulator_stride + column;
  HWY_UNROLL(8) for (std::size_t r = 0; r < kExactRows; ++r) {
    const bool read = s.start == Start::from_d && r < rows;
    HWY_UNROLL(2) for (std::size_t v = 0; v < kExactColumns; ++v) {
      const float* at = place + r * s.accumulator_stride + v * lanes;
      sum[r][v] = read ? hn::PromoteTo(d, hn::LoadU(df, at)) : hn::Zero(d);
    }
  }
  const double* a = s.a64 + row * s.a_stride;
  for (std::size_t k = 0; k < s.length; ++k, b += kExactColumns * lanes) {
    V64 values[kExactColumns];
    HWY_UNROLL(2) for (std::size_t v = 0; v < kExactColumns; ++v) {
      values[v] = hn::LoadU(d, b + v * lanes);
    }
    HWY_UNROLL(8) for (std::size_t r = 0; r < kExactRows; ++r) {
      const V64 factor = hn::Set(d, a[r * s.a_stride + k]);
      HWY_UNROLL(2) for (std::size_t v = 0; v < kExactColumns; ++v) {
        sum[r][v] = hn::MulAdd(factor, values[v], sum[r][v]);
      }
    }
  }
  HWY_UNROLL(8) for (std::size_t r = 0; r < kExactRows; ++r) {
    if (r >= rows) break;
    HWY_UNROLL(2) for (std::size_t v = 0; v < kExactColumns; ++v) {
      hn::StoreU(NearestF32(sum[r][v]), df, place + r * s.accumulator_stride + v * lanes);
    }
  }
}

/// A slab of columns, which stays in the first-level cache, becomes f64 once for all rows.
void ExactChain(const StepArguments& s) {
  const D64 d;
  const DHalf32 df;
  const std::size_t lanes = hn::Lanes(d), width = kExactColumns * lanes;
  std::vector<double> b(width * s.length);
  for (std::size_t column = 0; column < s.columns; column += width) {
    for (std::size_t k = 0; k < s.length; ++k)
      for (std::size_t v = 0; v < kExactColumns; ++v)
        hn::StoreU(hn::PromoteTo(d, hn::LoadU(df, s.b32 + k * kPanel + column + v * lanes)), d,
                   &b[k * width + v * lanes]);
    for (std::size_t row = 0; row < s.rows; row += kExactRows)
      ExactPass(s, row, std::min(kExactRows, s.rows - row), column, b.data());
  }
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(FusedChain);
HWY_EXPORT(ExactChain);
}  // namespace

void run_fused(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(FusedChain)(s); }
void run_exact(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(ExactChain)(s); }

}  // namespace karat::numerics
#endif  // HWY_ONCE
