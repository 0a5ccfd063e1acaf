// The fast chains. An aligned truncated sum in floating-point lanes: with M = 2^(p-1) * grid, p the
// lanes' precision, ulp(M) is the grid, so M + |a*b| fused and rounded toward zero drops exactly
// the bits below the grid; positive and negative terms go to accumulators of their own (column
// operands are stored as max(b,0) and max(-b,0), the sign of a picks the half), and since both stay
// in [M, 2M) every sum and the final difference are exact. Exponent maxima run in narrow integers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain_simd.cpp"
#include "karat/numerics/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>
#include <vector>

#include "karat/numerics/chain_kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<float>;
using DU32 = hn::RebindToUnsigned<D32>;
using DI32 = hn::RebindToSigned<D32>;
using V32 = hn::Vec<D32>;

#if HWY_NATIVE_FMA

bool HasSplitKernels() { return true; }

using D64 = hn::ScalableTag<double>;
using DI64 = hn::RebindToSigned<D64>;
using DHalf32 = hn::Rebind<float, D64>;
using D8 = hn::ScalableTag<std::int8_t>;
using D16 = hn::ScalableTag<std::int16_t>;

constexpr std::size_t kUnrolled = 4;  ///< divides every step's length

/// body(column, number of vectors) for a panel's columns, as many vectors at a time as have their
/// accumulators in registers: four with 32 registers; three with 16, where two leave the fused
/// multiply-adds waiting for each other.
template <typename Body>
HWY_INLINE void for_blocks(std::size_t lanes, const Body& body) {
  for (std::size_t left = kPanel / lanes; left > 0;) {
    const std::size_t column = kPanel - left * lanes;
    if (HWY_TARGET <= HWY_AVX3) {
      body(column, std::integral_constant<std::size_t, 4>());
      left -= 4;
    } else if (left == 2 || left == 4) {
      body(column, std::integral_constant<std::size_t, 2>());
      left -= 2;
    } else {
      body(column, std::integral_constant<std::size_t, 3>());
      left -= 3;
    }
  }
}

/// Accumulators of two rows by kBlock column vectors: positive and negative terms.
template <typename V, std::size_t kBlock>
struct Sums {
  V plus[2][kBlock], minus[2][kBlock];
};

/// Compilers fold a load into every use of its value; the loop would be bound by the load ports.
template <typename V>
HWY_INLINE void KeepInRegister([[maybe_unused]] V& x) {
#if HWY_ARCH_X86 && !HWY_COMPILER_MSVC
  __asm__("" : "+v"(x.raw));
#endif
}

/// Adds the products [first, last) of a schedule. With `kOpposite` the second row's signs are the
/// reverse of the first one's, so what is positive for one is negative for the other.
template <bool kOpposite, typename D, typename T, typename V, std::size_t kBlock>
HWY_INLINE void AddProducts(D d, const T* a, std::size_t a_stride, const std::uint32_t* schedule,
                            std::size_t first, std::size_t last, const T* b, Sums<V, kBlock>& sums) {
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t q = first; q < last; ++q) {
    const std::size_t at = schedule[q];
    const T* same = b + at;
    const T* opposite = b + (at ^ kPanel);
    const V a0 = hn::Set(d, a[q]), a1 = hn::Set(d, a[a_stride + q]);
    HWY_UNROLL(4) for (std::size_t v = 0; v < kBlock; ++v) {
      V x = hn::Load(d, same + v * lanes), y = hn::Load(d, opposite + v * lanes);
      KeepInRegister(x);
      KeepInRegister(y);
      sums.plus[0][v] = hn::MulAdd(a0, x, sums.plus[0][v]);
      sums.minus[0][v] = hn::MulAdd(a0, y, sums.minus[0][v]);
      sums.plus[1][v] = hn::MulAdd(a1, kOpposite ? y : x, sums.plus[1][v]);
      sums.minus[1][v] = hn::MulAdd(a1, kOpposite ? x : y, sums.minus[1][v]);
    }
  }
}

/// Largest exponent of a product per row and column of the pass, as biased f32 exponents;
/// 1 where every product is zero.
HWY_INLINE void LargestExponents8(const StepArguments& s, std::size_t row, std::size_t column,
                                  std::uint8_t* biased) {
  const D8 d8;
  constexpr std::size_t kRows = 2;
  hn::Vec<D8> largest[kRows];
  for (std::size_t r = 0; r < kRows; ++r) {
    largest[r] = hn::Set(d8, static_cast<std::int8_t>(2 * kNoExponent8));
  }
  const std::int8_t* b = s.b_exponent8 + column;
  const std::uint32_t* a = s.a_exponent + row * s.a_stride;
  for (std::size_t k = 0; k < s.length; k += kUnrolled) {
    HWY_UNROLL(4) for (std::size_t u = 0; u < kUnrolled; ++u) {
      auto theirs = hn::Load(d8, b + (k + u) * kPanel);
      KeepInRegister(theirs);
      HWY_UNROLL(2) for (std::size_t r = 0; r < kRows; ++r) {
        const auto mine = hn::BitCast(d8, hn::Set(DU32(), a[r * s.a_stride + k + u]));
        largest[r] = hn::Max(largest[r], hn::Add(mine, theirs));
      }
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    const auto none = hn::Lt(largest[r], hn::Set(d8, std::int8_t{-32}));
    const auto exponent = hn::IfThenElse(none, hn::Set(d8, std::int8_t{-126}), largest[r]);
    const auto shifted = hn::Add(exponent, hn::Set(d8, std::int8_t{127}));
    hn::Store(hn::BitCast(hn::RebindToUnsigned<D8>(), shifted),
              hn::RebindToUnsigned<D8>(), biased + r * kPanel + column);
  }
}

/// The exponent with which c competes, as an f32 exponent field. A subnormal f16 accumulator counts
/// as 2^-14; f32 subnormals need no care, since 1 is the smallest field `biased` holds.
template <FormatId kAccumulator>
HWY_INLINE hn::Vec<DU32> AccumulatorExponent(V32 c) {
  const DU32 du;
  const auto exponent = hn::And(hn::BitCast(du, c), hn::Set(du, 0x7F800000u));
  if constexpr (kAccumulator == FormatId::f32) return exponent;
  const auto raised = hn::Max(exponent, hn::Set(du, (127u - 14) << 23));
  return hn::IfThenZeroElse(hn::Eq(exponent, hn::Zero(du)), raised);
}

template <FormatId kAccumulator, std::size_t kBlock>
HWY_INLINE void BlockF32(const StepArguments& s, std::size_t row, std::size_t column, V32 keep,
                         const std::uint8_t* biased) {
  const D32 d;
  const DU32 du;
  const std::size_t lanes = hn::Lanes(d);
  const V32 zero = hn::Zero(d);
  const auto guard = hn::Set(du, static_cast<std::uint32_t>(23 - s.instruction->fraction) << 23);
  float* accumulators = s.accumulators + row * kPanel + column;
  Sums<V32, kBlock> sums;
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kBlock; ++v) {
      const V32 c = hn::Load(d, accumulators + r * kPanel + v * lanes);
      const auto c_exponent = AccumulatorExponent<kAccumulator>(c);
      const auto bytes = hn::Load(hn::Rebind<std::uint8_t, D32>(), biased + r * kPanel + column + v * lanes);
      const auto exponent = hn::Max(hn::ShiftLeft<23>(hn::PromoteTo(du, bytes)), c_exponent);
      const V32 m = hn::BitCast(d, hn::Add(exponent, guard));
      sums.plus[r][v] = hn::Add(m, hn::Max(c, zero));
      sums.minus[r][v] = hn::Sub(m, hn::Min(c, zero));
    }
  }
  const float* a = s.a32 + row * s.a_stride;
  const std::uint32_t* schedule = s.schedule + row / 2 * s.a_stride;
  const std::size_t same = s.same[row / 2 * s.same_stride];
  AddProducts<false>(d, a, s.a_stride, schedule, 0, same, s.b32 + column, sums);
  AddProducts<true>(d, a, s.a_stride, schedule, same, s.length, s.b32 + column, sums);
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kBlock; ++v) {
      const V32 sum = hn::And(hn::Sub(sums.plus[r][v], sums.minus[r][v]), keep);
      hn::Store(sum, d, accumulators + r * kPanel + v * lanes);
    }
  }
}

template <FormatId kAccumulator>
void PassesF32(const StepArguments& s, V32 keep) {
  HWY_ALIGN std::uint8_t biased[2 * kPanel];
  for (std::size_t row = 0; row < s.rows; row += 2) {
    for (std::size_t column = 0; column < kPanel; column += hn::Lanes(D8())) {
      LargestExponents8(s, row, column, biased);
    }
    for_blocks(hn::Lanes(D32()), [&](std::size_t column, auto block) HWY_ATTR {
      BlockF32<kAccumulator, block>(s, row, column, keep, biased);
    });
  }
}

void SplitF32(const StepArguments& s) {
  const Instruction& row = *s.instruction;
  if (row.accumulator == FormatId::f32) {
    const std::uint32_t dropped = (1u << (23 - row.out_fraction)) - 1;
    return PassesF32<FormatId::f32>(s, hn::BitCast(D32(), hn::Set(DU32(), ~dropped)));
  }
  PassesF32<FormatId::f16>(s, hn::BitCast(D32(), hn::Set(DU32(), ~0u)));
  for (std::size_t i = 0; i < s.rows * kPanel; ++i) s.exact_sums[i] = s.accumulators[i];
}

HWY_INLINE void LargestExponents16(const StepArguments& s, std::size_t row, std::size_t column,
                                   std::int16_t* exponents) {
  const D16 d16;
  constexpr std::size_t kRows = 2;
  hn::Vec<D16> largest[kRows];
  const int floor = std::max(s.instruction->floor, -900);
  for (std::size_t r = 0; r < kRows; ++r) {
    largest[r] = hn::Set(d16, static_cast<std::int16_t>(floor));
  }
  const std::int16_t* b = s.b_exponent16 + column;
  const std::uint32_t* a = s.a_exponent + row * s.a_stride;
  for (std::size_t k = 0; k < s.length; k += kUnrolled) {
    HWY_UNROLL(4) for (std::size_t u = 0; u < kUnrolled; ++u) {
      auto theirs = hn::Load(d16, b + (k + u) * kPanel);
      KeepInRegister(theirs);
      HWY_UNROLL(2) for (std::size_t r = 0; r < kRows; ++r) {
        const auto mine = hn::BitCast(d16, hn::Set(DU32(), a[r * s.a_stride + k + u]));
        largest[r] = hn::Max(largest[r], hn::Add(mine, theirs));
      }
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    hn::Store(largest[r], d16, exponents + r * kPanel + column);
  }
}

template <std::size_t kBlock>
HWY_INLINE void BlockF64(const StepArguments& s, std::size_t row, std::size_t column,
                         const std::int16_t* exponents) {
  using V64 = hn::Vec<D64>;
  const D64 d;
  const DI64 di;
  const DHalf32 df;
  const std::size_t lanes = hn::Lanes(d);
  const Instruction& instruction = *s.instruction;
  const V64 zero = hn::Zero(d);
  const V64 guard = hn::Set(d, std::ldexp(1.0, 52 - instruction.fraction));
  const V64 smallest = hn::Set(d, instruction.accumulator == FormatId::f16 ? 0x1p-14 : 0x1p-126);
  float* accumulators = s.accumulators + row * kPanel + column;
  Sums<V64, kBlock> sums;
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kBlock; ++v) {
      const V64 c = hn::PromoteTo(d, hn::Load(df, accumulators + r * kPanel + v * lanes));
      const V64 power =
          hn::And(c, hn::BitCast(d, hn::Set(di, std::int64_t{0x7FF0000000000000})));
      const V64 c_power = hn::IfThenElse(hn::Eq(c, zero), zero, hn::Max(power, smallest));
      const auto narrow =
          hn::Load(hn::Rebind<std::int16_t, D64>(), exponents + r * kPanel + column + v * lanes);
      const auto wide = hn::PromoteTo(di, hn::PromoteTo(hn::Rebind<std::int32_t, D64>(), narrow));
      const V64 products =
          hn::BitCast(d, hn::ShiftLeft<52>(hn::Add(wide, hn::Set(di, std::int64_t{1023}))));
      const V64 m = hn::Mul(hn::Max(products, c_power), guard);
      sums.plus[r][v] = hn::Add(m, hn::Max(c, zero));
      sums.minus[r][v] = hn::Sub(m, hn::Min(c, zero));
    }
  }
  const double* a = s.a64 + row * s.a_stride;
  const std::uint32_t* schedule = s.schedule + row / 2 * s.a_stride;
  const std::size_t same = s.same[row / 2 * s.same_stride];
  AddProducts<false>(d, a, s.a_stride, schedule, 0, same, s.b64 + column, sums);
  AddProducts<true>(d, a, s.a_stride, schedule, same, s.length, s.b64 + column, sums);

  const bool f16 = instruction.accumulator == FormatId::f16;
  const V64 infinity = hn::Set(d, std::bit_cast<double>(std::uint64_t{0x7FF0000000000000}));
  const auto infinity32 = hn::Set(df, std::bit_cast<float>(0x7F800000u));
  const auto nan32 = hn::Set(df, std::bit_cast<float>(0x7FFFFFFFu));
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kBlock; ++v) {
      const V64 sum = hn::Sub(sums.plus[r][v], sums.minus[r][v]);
      if (f16) {
        hn::Store(sum, d, s.exact_sums + (row + r) * kPanel + column + v * lanes);
        continue;
      }
      float* place = accumulators + r * kPanel + v * lanes;
      const auto c = hn::Load(df, place);
      const auto overflow = hn::Ge(hn::Abs(sum), hn::Set(d, 0x1p128));
      const V64 bounded = hn::IfThenElse(overflow, hn::CopySign(infinity, sum), sum);
      // A negative sum that rounds to zero becomes -0 here; adding +0 makes it +0.
      auto result = hn::Add(hn::DemoteTo(df, bounded), hn::Zero(df));
      const auto finite = hn::Lt(hn::Abs(c), infinity32);
      result = hn::IfThenElse(finite, result, hn::IfThenElse(hn::Eq(c, c), c, nan32));
      hn::Store(result, df, place);
    }
  }
}

void SplitF64(const StepArguments& s) {
  HWY_ALIGN std::int16_t exponents[2 * kPanel];
  for (std::size_t row = 0; row < s.rows; row += 2) {
    for (std::size_t column = 0; column < kPanel; column += hn::Lanes(D16())) {
      LargestExponents16(s, row, column, exponents);
    }
    for_blocks(hn::Lanes(D64()), [&](std::size_t column, auto block) HWY_ATTR {
      BlockF64<block>(s, row, column, exponents);
    });
  }
}

#else  // no fused multiply-add on this target

bool HasSplitKernels() { return false; }
void SplitF32(const StepArguments&) {}
void SplitF64(const StepArguments&) {}

#endif  // HWY_NATIVE_FMA

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

/// Four rows by `kColumns` vectors at a time, so that a column vector is loaded once for four rows.
template <std::size_t kRows, std::size_t kColumns>
HWY_INLINE void FusedPass(const StepArguments& s, std::size_t row, std::size_t column) {
  const D32 d;
  const std::size_t lanes = hn::Lanes(d);
  float* place = s.accumulators + row * kPanel + column;
  V32 sum[kRows][kColumns];
  HWY_UNROLL(4) for (std::size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(4) for (std::size_t v = 0; v < kColumns; ++v) {
      sum[r][v] = hn::Load(d, place + r * kPanel + v * lanes);
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
      hn::Store(CanonicalNan(sum[r][v]), d, place + r * kPanel + v * lanes);
    }
  }
}

void FusedChain(const StepArguments& s) {
  constexpr std::size_t kColumns = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  const std::size_t width = kColumns * hn::Lanes(D32());
  for (std::size_t column = 0; column < kPanel; column += width) {
    std::size_t i = 0;
    for (; i + 4 <= s.rows; i += 4) FusedPass<4, kColumns>(s, i, column);
    for (; i < s.rows; ++i) FusedPass<1, kColumns>(s, i, column);
  }
}

void ExactChain(const StepArguments& s) {
  for (std::size_t i = 0; i < s.rows; ++i) {
    double sums[kPanel];
    float* place = s.accumulators + i * kPanel;
    for (std::size_t j = 0; j < kPanel; ++j) sums[j] = place[j];
    for (std::size_t k = 0; k < s.length; ++k) {
      const double factor = s.a32[i * s.a_stride + k];
      const float* b = s.b32 + k * kPanel;
      for (std::size_t j = 0; j < kPanel; ++j) sums[j] += factor * b[j];
    }
    for (std::size_t j = 0; j < kPanel; ++j) {
      const auto sum = static_cast<float>(sums[j]);
      place[j] = sum == sum ? sum : std::bit_cast<float>(0x7FFFFFFFu);
    }
  }
}

/// Products of two int8 are at most 2^14, so 1024 of them are exact in f32 whatever the order.
void IntegerChain(const StepArguments& s) {
  constexpr std::size_t kExact = 1024;
  HWY_ALIGN float partial[kRowBlock * kPanel];
  StepArguments chunk = s;
  chunk.accumulators = partial;
  for (std::size_t k = 0; k < s.length; k += kExact) {
    std::fill(partial, partial + s.rows * kPanel, 0.0f);
    chunk.length = std::min(kExact, s.length - k);
    chunk.a32 = s.a32 + k;
    chunk.b32 = s.b32 + k * kPanel;
    FusedChain(chunk);
    for (std::size_t i = 0; i < s.rows * kPanel; ++i) {
      s.integers[i] = static_cast<std::int32_t>(
          static_cast<std::uint32_t>(s.integers[i]) +
          static_cast<std::uint32_t>(static_cast<std::int32_t>(partial[i])));
    }
  }
}

/// Exponent words of one row; whether a value is NaN or Inf.
bool RowExponents(const Instruction& row, const float* x, std::size_t count,
                  std::uint32_t* exponent) {
  const bool narrow = lanes_of(row) == Lanes::split_f32;
  const std::uint32_t smallest =
      static_cast<std::uint32_t>(format(row.multiplied).min_exponent() + 127);
  const std::uint32_t mask = narrow ? 0xFF : 0xFFFF;
  const std::uint32_t none = static_cast<std::uint32_t>(narrow ? kNoExponent8 : kNoExponent16) & mask;
  std::uint32_t largest = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x[k]) & 0x7FFFFFFFu;
    largest = std::max(largest, magnitude);
    const std::uint32_t e = (std::max(magnitude >> 23, smallest) - 127u) & mask;
    const std::uint32_t value = magnitude == 0 ? none : e;
    const std::uint32_t half = narrow ? value | value << 8 : value;
    exponent[k] = half | half << 16;
  }
  return largest >= 0x7F800000u;
}

/// Order and magnitudes of one step of a pair of rows; returns how many k have equal signs.
template <typename T>
HWY_INLINE std::uint32_t Schedule(const float* x0, const float* x1, std::size_t step,
                                  std::uint32_t* schedule, T* m0, T* m1) {
  std::uint32_t opposite = 0;
  for (std::size_t k = 0; k < step; ++k) {
    opposite +=
        (std::bit_cast<std::uint32_t>(x0[k]) ^ std::bit_cast<std::uint32_t>(x1[k])) >> 31;
  }
  const std::uint32_t same = static_cast<std::uint32_t>(step) - opposite;
  const auto entry = [&](std::size_t k) {
    const std::uint32_t negative = std::bit_cast<std::uint32_t>(x0[k]) >> 31;
    return static_cast<std::uint32_t>(k * 2 * kPanel) + negative * std::uint32_t{kPanel};
  };
  if (opposite == 0) {  // always so for P, whose values are never negative
    for (std::size_t k = 0; k < step; ++k) {
      schedule[k] = entry(k);
      m0[k] = static_cast<T>(std::fabs(x0[k]));
      m1[k] = static_cast<T>(std::fabs(x1[k]));
    }
    return same;
  }
  std::uint32_t before = 0;  // opposite ones so far; a counter in memory would bound the loop
  for (std::uint32_t k = 0; k < step; ++k) {
    const std::uint32_t differ =
        (std::bit_cast<std::uint32_t>(x0[k]) ^ std::bit_cast<std::uint32_t>(x1[k])) >> 31;
    // Without a branch, which no predictor would get right.
    const std::uint32_t q = k - before + differ * (same + 2 * before - k);
    before += differ;
    schedule[q] = entry(k);
    m0[q] = static_cast<T>(std::fabs(x0[k]));
    m1[q] = static_cast<T>(std::fabs(x1[k]));
  }
  return same;
}

void PackRows(const Instruction& row, MatrixView<const float> values, RowOperand::Packed& p) {
  std::vector<float> lines(2 * p.padded, 0.0f);
  const auto line = [&](std::size_t i, std::size_t slot) -> const float* {
    const float* x = values.data + i * values.row_stride;
    const bool in_place = values.column_stride == 1 && p.k == p.padded &&
                          row.arithmetic != Arithmetic::emulated;
    if (i < p.rows && in_place) return x;
    float* copy = lines.data() + slot * p.padded;
    if (i >= p.rows) {
      std::fill(copy, copy + p.padded, 0.0f);
      return copy;
    }
    for (std::size_t k = 0; k < p.k; ++k) copy[chain_position(row, k)] = x[k * values.column_stride];
    return copy;
  };
  if (lanes_of(row) == Lanes::plain) {
    for (std::size_t i = 0; i < p.rows; ++i) {
      const float* x = line(i, 0);
      std::copy(x, x + p.padded, p.f32.data() + i * p.padded);
      p.special.data()[i] = 0;
    }
    return;
  }
  const auto step = static_cast<std::size_t>(row.step);
  for (std::size_t i = 0; i < p.rows; i += 2) {
    const float* x0 = line(i, 0);
    const float* x1 = line(i + 1, 1);
    const std::size_t at = i * p.padded;
    p.special.data()[i] = RowExponents(row, x0, p.padded, p.exponent.data() + at);
    const bool special = RowExponents(row, x1, p.padded, p.exponent.data() + at + p.padded);
    if (i + 1 < p.rows) p.special.data()[i + 1] = special;
    for (std::size_t k = 0; k < p.padded; k += step) {
      std::uint32_t* schedule = p.schedule.data() + at / 2 + k;
      std::uint32_t& same = p.same.data()[(at / 2 + k) / step];
      const std::size_t first = at + k, second = first + p.padded;
      same = lanes_of(row) == Lanes::split_f32
                 ? Schedule(x0 + k, x1 + k, step, schedule, p.f32.data() + first,
                            p.f32.data() + second)
                 : Schedule(x0 + k, x1 + k, step, schedule, p.f64.data() + first,
                            p.f64.data() + second);
    }
  }
}

/// One k of one panel.
template <typename T, typename E>
HWY_INLINE void SplitLine(std::uint32_t smallest, E none, const float* x, T* plus, T* minus,
                          E* exponent, std::uint8_t* special) {
  for (std::size_t j = 0; j < kPanel; ++j) {
    const auto bits = std::bit_cast<std::uint32_t>(x[j]);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
    const bool not_finite = magnitude >= 0x7F800000u, nan = magnitude > 0x7F800000u;
    const auto m = static_cast<T>(std::bit_cast<float>(magnitude));
    plus[j] = (bits >> 31) == 0 || nan ? m : T{0};
    minus[j] = (bits >> 31) == 1 || nan ? m : T{0};
    const auto e = static_cast<E>(static_cast<std::int32_t>(std::max(magnitude >> 23, smallest)) -
                                  127);
    exponent[j] = magnitude == 0 ? none : e;
    special[j] = static_cast<std::uint8_t>(special[j] | not_finite);
  }
}

void PackColumns(const Instruction& row, MatrixView<const float> values,
                 ColumnOperand::Packed& p) {
  const std::uint32_t smallest =
      static_cast<std::uint32_t>(format(row.multiplied).min_exponent() + 127);
  const Lanes lanes = lanes_of(row);
  std::fill(p.special.data(), p.special.data() + p.panels * kPanel, std::uint8_t{0});
  std::vector<float> tile(p.padded * kPanel);
  for (std::size_t panel = 0; panel < p.panels; ++panel) {
    const std::size_t first = panel * kPanel, width = std::min(kPanel, p.columns - first);
    if (width < kPanel || p.k < p.padded) std::fill(tile.begin(), tile.end(), 0.0f);
    const float* source = values.data + first * values.row_stride;
    if (values.row_stride == 1) {
      for (std::size_t k = 0; k < p.k; ++k) {
        std::copy_n(source + k * values.column_stride, width,
                    tile.data() + chain_position(row, k) * kPanel);
      }
    } else {
      for (std::size_t j = 0; j < width; ++j) {
        for (std::size_t k = 0; k < p.k; ++k) {
          tile[chain_position(row, k) * kPanel + j] =
              source[j * values.row_stride + k * values.column_stride];
        }
      }
    }
    if (lanes == Lanes::plain) {
      std::copy(tile.begin(), tile.end(), p.f32.data() + panel * p.padded * kPanel);
      continue;
    }
    std::uint8_t* special = p.special.data() + first;
    for (std::size_t k = 0; k < p.padded; ++k) {
      const std::size_t at = (panel * p.padded + k) * kPanel;
      if (lanes == Lanes::split_f32) {
        float* plus = p.f32.data() + 2 * at;
        SplitLine(smallest, static_cast<std::int8_t>(kNoExponent8), tile.data() + k * kPanel, plus,
                  plus + kPanel, p.exponent8.data() + at, special);
      } else {
        double* plus = p.f64.data() + 2 * at;
        SplitLine(smallest, static_cast<std::int16_t>(kNoExponent16), tile.data() + k * kPanel,
                  plus, plus + kPanel, p.exponent16.data() + at, special);
      }
    }
  }
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(HasSplitKernels);
HWY_EXPORT(SplitF32);
HWY_EXPORT(SplitF64);
HWY_EXPORT(FusedChain);
HWY_EXPORT(ExactChain);
HWY_EXPORT(IntegerChain);
HWY_EXPORT(PackRows);
HWY_EXPORT(PackColumns);
}  // namespace

bool has_split_kernels() { return HWY_DYNAMIC_DISPATCH(HasSplitKernels)(); }
void run_split_f32(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(SplitF32)(s); }
void run_split_f64(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(SplitF64)(s); }
void run_fused(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(FusedChain)(s); }
void run_exact(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(ExactChain)(s); }
void run_integer(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(IntegerChain)(s); }
void pack_rows(const Instruction& row, MatrixView<const float> v, RowOperand::Packed& p) {
  HWY_DYNAMIC_DISPATCH(PackRows)(row, v, p);
}
void pack_columns(const Instruction& row, MatrixView<const float> v, ColumnOperand::Packed& p) {
  HWY_DYNAMIC_DISPATCH(PackColumns)(row, v, p);
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
