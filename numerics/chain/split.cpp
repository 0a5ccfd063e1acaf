// The fast chains. An aligned truncated sum in floating-point lanes: with M = 2^(p-1) * grid, p the
// lanes' precision, ulp(M) is the grid, so M + |a*b| fused and rounded toward zero drops exactly
// the bits below the grid; positive and negative terms go to accumulators of their own (column
// operands are stored as max(b,0) and max(-b,0), the sign of a picks the half), and since both stay
// in [M, 2M) every sum and the final difference are exact. Exponent maxima run in narrow integers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain/split.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <type_traits>

#include "karat/numerics/chain/kernels.hpp"

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

template <std::size_t kCount>
using Vectors = std::integral_constant<std::size_t, kCount>;

/// body(first column, number of vectors) over the first `columns` of a panel, as many vectors at a
/// time as have their accumulators in registers: six with 32 registers, three with 16. One or two
/// vectors leave the fused multiply-adds waiting for each other: they come last and seldom.
template <typename Body>
HWY_INLINE void for_blocks(std::size_t columns, std::size_t lanes, const Body& body) {
  constexpr std::size_t kMost = HWY_TARGET <= HWY_AVX3 ? 6 : 3;
  std::size_t left = (columns + lanes - 1) / lanes, column = 0;
  while (left > 0) {
    const std::size_t size = left <= kMost ? left : left < 2 * kMost ? (left + 1) / 2 : kMost;
    switch (size) {
      case 1: body(column, Vectors<1>()); break;
      case 2: body(column, Vectors<2>()); break;
      case 3: body(column, Vectors<3>()); break;
      case 4: body(column, Vectors<(kMost < 4 ? kMost : 4)>()); break;
      case 5: body(column, Vectors<(kMost < 5 ? kMost : 5)>()); break;
      default: body(column, Vectors<kMost>()); break;
    }
    left -= size;
    column += size * lanes;
  }
}

/// Fetches what the next step reads of B, which lies right behind this one's, a part with every
/// pair of rows: the processor's own prefetchers stop at pages and at the gap behind a narrow
/// panel's columns.
template <typename T>
class NextStep {
 public:
  NextStep(const StepArguments& s, const T* b)
      : line_(b + 2 * static_cast<std::size_t>(s.instruction->step) * kPanel),
        left_(2 * static_cast<std::size_t>(s.instruction->step)),
        share_((2 * left_ + s.rows - 1) / s.rows),
        columns_(s.columns) {}

  void fetch_part() {
    const std::size_t count = std::min(share_, left_);
    left_ -= count;
    for (std::size_t i = 0; i < count; ++i, line_ += kPanel) {
      for (std::size_t j = 0; j < columns_; j += 64 / sizeof(T)) hwy::Prefetch(line_ + j);
    }
  }

 private:
  const T* line_;      ///< of one sign and k
  std::size_t left_;   ///< lines
  std::size_t share_;  ///< of them with a pair of rows
  std::size_t columns_;
};

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
    HWY_UNROLL(6) for (std::size_t v = 0; v < kBlock; ++v) {
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

/// How many products of the step the pair of rows takes.
HWY_INLINE std::size_t LengthOf(const StepArguments& s, std::size_t row) {
  return std::min<std::size_t>(s.length, s.used[row / 2 * s.same_stride]);
}

/// Largest exponent of a product per row and column of the pass, `floor` or more; line(q): where B's
/// exponents for the q-th of the `length` products lie.
template <typename D, typename Line>
HWY_INLINE void LargestOf(const StepArguments& s, std::size_t row, std::size_t length, int floor,
                          hn::Vec<D> (&largest)[2], const Line& line) {
  const D d;
  for (auto& exponents : largest) exponents = hn::Set(d, static_cast<hn::TFromD<D>>(floor));
  const std::uint32_t* a = s.a_exponent + row * s.a_stride;
  for (std::size_t q = 0; q < length; q += kUnrolled) {
    HWY_UNROLL(4) for (std::size_t u = 0; u < kUnrolled; ++u) {
      auto theirs = hn::Load(d, line(q + u));
      KeepInRegister(theirs);
      HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
        const auto mine = hn::BitCast(d, hn::Set(DU32(), a[r * s.a_stride + q + u]));
        largest[r] = hn::Max(largest[r], hn::Add(mine, theirs));
      }
    }
  }
}

template <typename D>
HWY_INLINE void LargestExponents(const StepArguments& s, std::size_t row, const hn::TFromD<D>* b,
                                 int floor, hn::Vec<D> (&largest)[2]) {
  const std::size_t length = LengthOf(s, row);
  if (length == s.length) {
    LargestOf<D>(s, row, length, floor, largest,
                 [&](std::size_t q) HWY_ATTR { return b + q * kPanel; });
  } else {  // products are left out, of rows without negative values
    const std::uint32_t* schedule = s.schedule + row / 2 * s.a_stride;
    LargestOf<D>(s, row, length, floor, largest,
                 [&](std::size_t q) HWY_ATTR { return b + schedule[q] / 2; });
  }
}

/// As biased f32 exponents; 1 where every product is zero.
HWY_INLINE void BiasedExponents(const StepArguments& s, std::size_t row, std::size_t column,
                                std::uint8_t* biased) {
  const D8 d8;
  hn::Vec<D8> largest[2];
  LargestExponents<D8>(s, row, s.b_exponent8 + column, 2 * kNoExponent8, largest);
  for (std::size_t r = 0; r < 2; ++r) {
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
  const std::size_t place = row * kPanel + column;
  const float* accumulators = s.accumulators + place;
  float* results = (kAccumulator == FormatId::f16 ? s.sums32 : s.accumulators) + place;
  Sums<V32, kBlock> sums;
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(6) for (std::size_t v = 0; v < kBlock; ++v) {
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
  AddProducts<true>(d, a, s.a_stride, schedule, same, LengthOf(s, row), s.b32 + column, sums);
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(6) for (std::size_t v = 0; v < kBlock; ++v) {
      const V32 sum = hn::And(hn::Sub(sums.plus[r][v], sums.minus[r][v]), keep);
      hn::Store(sum, d, results + r * kPanel + v * lanes);
    }
  }
}

template <FormatId kAccumulator>
void PassesF32(const StepArguments& s, V32 keep) {
  HWY_ALIGN std::uint8_t biased[2 * kPanel];
  NextStep next(s, s.b32);
  for (std::size_t row = 0; row < s.rows; row += 2) {
    next.fetch_part();
    for (std::size_t column = 0; column < s.columns; column += hn::Lanes(D8())) {
      BiasedExponents(s, row, column, biased);
    }
    for_blocks(s.columns, hn::Lanes(D32()), [&](std::size_t column, auto block) HWY_ATTR {
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
  const auto guard_field = static_cast<std::uint64_t>(1023 + 52 - instruction.fraction);
  const V64 guard = hn::Set(d, std::bit_cast<double>(guard_field << 52));  // 2^(52 - F)
  const V64 smallest = hn::Set(d, instruction.accumulator == FormatId::f16 ? 0x1p-14 : 0x1p-126);
  float* accumulators = s.accumulators + row * kPanel + column;
  V64 largest = zero;
  Sums<V64, kBlock> sums;
  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(6) for (std::size_t v = 0; v < kBlock; ++v) {
      const V64 c = hn::PromoteTo(d, hn::Load(df, accumulators + r * kPanel + v * lanes));
      const V64 power =
          hn::And(c, hn::BitCast(d, hn::Set(di, std::int64_t{0x7FF0000000000000})));
      const V64 c_power = hn::IfThenElse(hn::Eq(c, zero), zero, hn::Max(power, smallest));
      const auto narrow =
          hn::Load(hn::Rebind<std::int16_t, D64>(), exponents + r * kPanel + column + v * lanes);
      const auto wide = hn::PromoteTo(di, hn::PromoteTo(hn::Rebind<std::int32_t, D64>(), narrow));
      const V64 products =
          hn::BitCast(d, hn::ShiftLeft<52>(hn::Add(wide, hn::Set(di, std::int64_t{1023}))));
      const V64 addend = hn::Max(products, c_power);
      const V64 m = hn::Mul(addend, guard);
      largest = hn::Max(largest, addend);
      sums.plus[r][v] = hn::Add(m, hn::Max(c, zero));
      sums.minus[r][v] = hn::Sub(m, hn::Min(c, zero));
    }
  }
  const double* a = s.a64 + row * s.a_stride;
  const std::uint32_t* schedule = s.schedule + row / 2 * s.a_stride;
  const std::size_t same = s.same[row / 2 * s.same_stride];
  AddProducts<false>(d, a, s.a_stride, schedule, 0, same, s.b64 + column, sums);
  AddProducts<true>(d, a, s.a_stride, schedule, same, LengthOf(s, row), s.b64 + column, sums);

  HWY_UNROLL(2) for (std::size_t r = 0; r < 2; ++r) {
    HWY_UNROLL(6) for (std::size_t v = 0; v < kBlock; ++v) {
      const V64 sum = hn::Sub(sums.plus[r][v], sums.minus[r][v]);
      if (instruction.accumulator == FormatId::f16) {
        hn::Store(sum, d, s.sums64 + (row + r) * kPanel + column + v * lanes);
      } else {
        hn::Store(hn::DemoteTo(df, sum), df, accumulators + r * kPanel + v * lanes);
      }
    }
  }
  const V64 limit = hn::Set(d, kLargestSplitF64);
  if (!hn::AllTrue(d, hn::Lt(largest, limit))) s.exceeded[row / 2] = 1;
}

void SplitF64(const StepArguments& s) {
  HWY_ALIGN std::int16_t exponents[2 * kPanel];
  NextStep next(s, s.b64);
  for (std::size_t row = 0; row < s.rows; row += 2) {
    next.fetch_part();
    for (std::size_t column = 0; column < s.columns; column += hn::Lanes(D16())) {
      hn::Vec<D16> largest[2];
      LargestExponents<D16>(s, row, s.b_exponent16 + column, std::max(s.instruction->floor, -900),
                            largest);
      hn::Store(largest[0], D16(), exponents + column);
      hn::Store(largest[1], D16(), exponents + kPanel + column);
    }
    for_blocks(s.columns, hn::Lanes(D64()), [&](std::size_t column, auto block) HWY_ATTR {
      BlockF64<block>(s, row, column, exponents);
    });
  }
}

#else  // no fused multiply-add on this target

bool HasSplitKernels() { return false; }
void SplitF32(const StepArguments&) {}
void SplitF64(const StepArguments&) {}

#endif  // HWY_NATIVE_FMA

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(HasSplitKernels);
HWY_EXPORT(SplitF32);
HWY_EXPORT(SplitF64);
}  // namespace

bool has_split_kernels() { return HWY_DYNAMIC_DISPATCH(HasSplitKernels)(); }
void run_split_f32(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(SplitF32)(s); }
void run_split_f64(const StepArguments& s) { HWY_DYNAMIC_DISPATCH(SplitF64)(s); }

}  // namespace karat::numerics
#endif  // HWY_ONCE
