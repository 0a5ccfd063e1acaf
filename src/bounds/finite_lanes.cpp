// Channels side by side; in sums of P rows side by side, since each sum has its order.
#include "finite_lanes.hpp"

#include "karat/numerics/base/simd.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "finite_lanes.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace karat::bounds::lanes::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
size_t Rescale(Factors, float*, size_t) { return 0; }
size_t Promote(Factors, const float*, const float*, const float*, float*, size_t, LargestBits&) {
  return 0;
}
size_t Begin(Factors, const float*, const float*, const float*, FiniteRow&, size_t, LargestBits&) {
  return 0;
}
size_t End(const float*, const double*, double, FiniteRow&, size_t, bool&) { return 0; }
size_t Widths(const ChainError&, SumOfWidths, const double*, double*, size_t) { return 0; }
size_t AddWidths(double, const float*, double*, size_t) { return 0; }
size_t Sums(std::span<const RowEnds>, size_t, std::span<LegalSums>) { return 0; }
#else
using D = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<D>;
using Wide = hn::Repartition<double, D>;
using V = hn::Vec<D>;
using VI = hn::Vec<DI>;
using VWide = hn::Vec<Wide>;

HWY_INLINE VI Magnitude(V x) { return hn::And(hn::BitCast(DI(), x), hn::Set(DI(), 0x7FFFFFFF)); }
HWY_INLINE std::int32_t Largest(VI x) { return hn::GetLane(hn::MaxOfLanes(DI(), x)); }

/// Without a test where nothing is to be flushed.
template <bool kFlush>
HWY_INLINE V Flushed(V x, V least) {
  if constexpr (!kFlush) return x;
#if HWY_TARGET <= HWY_AVX3
  // By the exponent's bits, in one operation, and by another where they are zero.
  const __m512i bits = _mm512_castps_si512(x.raw), exponent = _mm512_set1_epi32(0x7F800000);
  const __m512 sign = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(0x80000000u)));
  return V{_mm512_mask_and_ps(x.raw, _mm512_testn_epi32_mask(bits, exponent), x.raw, sign)};
#else
  const auto tiny = hn::Lt(hn::Abs(x), least);
  return hn::IfThenElse(tiny, hn::And(x, hn::SignBit(D())), x);
#endif
}

HWY_INLINE VWide LowerWide(V x) { return hn::PromoteTo(Wide(), hn::LowerHalf(x)); }
HWY_INLINE VWide UpperWide(V x) { return hn::PromoteTo(Wide(), hn::UpperHalf(hn::Half<D>(), x)); }

/// numerics::rounded_down() of finite numbers.
HWY_INLINE V Down(VWide lower, VWide upper) {
  const D d;
#if HWY_TARGET <= HWY_AVX3
  constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  return hn::Combine(d, hn::Vec<hn::Half<D>>{_mm512_cvt_roundpd_ps(upper.raw, kDown)},
                     hn::Vec<hn::Half<D>>{_mm512_cvt_roundpd_ps(lower.raw, kDown)});
#else
  // One step down where the nearest number is too large.
  const DI di;
  const Wide wide;
  const hn::Half<D> half;
  const auto below = hn::DemoteTo(half, lower), above = hn::DemoteTo(half, upper);
  const auto too_large = [&](auto nearest, VWide x) HWY_ATTR {
    return hn::BitCast(di, hn::VecFromMask(wide, hn::Gt(hn::PromoteTo(wide, nearest), x)));
  };
  const VI step = hn::ConcatEven(di, too_large(above, upper), too_large(below, lower));
  const VI bits = hn::BitCast(di, hn::Combine(d, above, below));
  const VI away = hn::Or(hn::BroadcastSignBit(bits), hn::Set(di, 1));
  return hn::BitCast(d, hn::Sub(bits, hn::And(step, away)));
#endif
}
HWY_INLINE V Up(VWide lower, VWide upper) {
#if HWY_TARGET <= HWY_AVX3
  constexpr int kUp = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
  return hn::Combine(D(), hn::Vec<hn::Half<D>>{_mm512_cvt_roundpd_ps(upper.raw, kUp)},
                     hn::Vec<hn::Half<D>>{_mm512_cvt_roundpd_ps(lower.raw, kUp)});
#else
  return hn::Neg(Down(hn::Neg(lower), hn::Neg(upper)));
#endif
}

/// Lower and upper ends in turn: each by the factor for its end, or the other if it is negative.
struct Alternating {
  V factor, of_negative;
};
HWY_INLINE Alternating AlternatingFactors(Factors by) {
  const D d;
  const V low = hn::Set(d, by.low), high = hn::Set(d, by.high);
  return {hn::OddEven(high, low), hn::OddEven(low, high)};
}
template <bool kFlush>
HWY_INLINE V Rescaled(V x, Alternating by, V least) {
  return Flushed<kFlush>(hn::Mul(x, hn::IfNegativeThenElse(x, by.of_negative, by.factor)), least);
}

template <bool kFlush>
size_t RescaleEnds(Factors by, float* o, size_t channels) {
  const D d;
  const size_t done = 2 * channels / hn::Lanes(d) * hn::Lanes(d);
  const Alternating alternating = AlternatingFactors(by);
  const V least = hn::Set(d, by.least);
  for (size_t e = 0; e < done; e += hn::Lanes(d))
    hn::StoreU(Rescaled<kFlush>(hn::LoadU(d, o + e), alternating, least), d, o + e);
  return done / 2;
}
size_t Rescale(Factors by, float* o, size_t channels) {
  return by.least > 0 ? RescaleEnds<true>(by, o, channels) : RescaleEnds<false>(by, o, channels);
}

template <bool kFlush, bool kScaled>
size_t PromoteEnds(Factors by, const float* o, const float* t, const float* f, float* ends,
                   size_t channels, LargestBits& largest) {
  const D d;
  const size_t done = 2 * channels / hn::Lanes(d) * hn::Lanes(d);
  const Alternating alternating = AlternatingFactors(by);
  const V least = hn::Set(d, by.least);
  VI rescaled_most = hn::Zero(DI()), other_most = hn::Zero(DI());
  for (size_t e = 0; e < done; e += hn::Lanes(d)) {
    const V rescaled = Rescaled<kFlush>(hn::LoadU(d, o + e), alternating, least);
    V added = hn::LoadU(d, t + e);
    rescaled_most = hn::Max(rescaled_most, Magnitude(rescaled));
    other_most = hn::Max(other_most, Magnitude(added));
    if constexpr (kScaled) {
      const V factor = hn::LoadU(d, f + e);
      other_most = hn::Max(other_most, Magnitude(factor));
      added = Rescaled<kFlush>(added, {factor, hn::Reverse2(d, factor)}, least);
    }
    hn::StoreU(Flushed<kFlush>(hn::Add(rescaled, added), least), d, ends + e);
  }
  largest = {Largest(rescaled_most), Largest(other_most)};
  return done / 2;
}
size_t Promote(Factors by, const float* o, const float* t, const float* f, float* ends,
               size_t channels, LargestBits& largest) {
  const auto promote = [&]<bool kFlush>() HWY_ATTR {
    return f == nullptr ? PromoteEnds<kFlush, false>(by, o, t, f, ends, channels, largest)
                        : PromoteEnds<kFlush, true>(by, o, t, f, ends, channels, largest);
  };
  return by.least > 0 ? promote.template operator()<true>() : promote.template operator()<false>();
}

/// kUnit: alpha is 1, as where a visit raises no maximum.
template <bool kFlush, bool kUnit>
size_t BeginChannels(Factors by, const float* o, const float* earlier, const float* golden,
                     FiniteRow& row, size_t channels, LargestBits& largest) {
  const D d;
  const size_t done = channels / hn::Lanes(d) * hn::Lanes(d);
  const V least = hn::Set(d, by.least);
  const V small = hn::Set(d, by.low), large = hn::Set(d, by.high);
  const auto times = [&](V x, V factor, V of_negative) HWY_ATTR {
    if constexpr (kUnit) return Flushed<kFlush>(x, least);
    return Flushed<kFlush>(hn::Mul(x, hn::IfNegativeThenElse(x, of_negative, factor)), least);
  };
  const auto distance = [](V from, V to) HWY_ATTR {
    return Up(hn::Sub(LowerWide(to), LowerWide(from)), hn::Sub(UpperWide(to), UpperWide(from)));
  };
  VI rescaled_most = hn::Zero(DI()), other_most = hn::Zero(DI());
  for (size_t j = 0; j < done; j += hn::Lanes(d)) {
    const V first = hn::LoadU(d, o + 2 * j), second = hn::LoadU(d, o + 2 * j + hn::Lanes(d));
    const V low = times(hn::ConcatEven(d, second, first), small, large);
    const V high = times(hn::ConcatOdd(d, second, first), large, small);
    const V before = earlier == nullptr ? hn::Zero(d) : hn::LoadU(d, earlier + j);
    hn::StoreU(low, d, &row.low[j]);
    hn::StoreU(high, d, &row.high[j]);
    hn::StoreU(distance(low, times(before, large, small)), d, &row.away_low[j]);
    hn::StoreU(distance(times(before, small, large), high), d, &row.away_high[j]);
    rescaled_most = hn::Max(rescaled_most, hn::Max(Magnitude(low), Magnitude(high)));
    other_most =
        hn::Max(other_most, hn::Max(Magnitude(before), Magnitude(hn::LoadU(d, golden + j))));
  }
  largest = {Largest(rescaled_most), Largest(other_most)};
  return done;
}
size_t Begin(Factors by, const float* o, const float* earlier, const float* golden, FiniteRow& row,
             size_t channels, LargestBits& largest) {
  const auto begin = [&]<bool kFlush>() HWY_ATTR {
    return by.low == 1 && by.high == 1
               ? BeginChannels<kFlush, true>(by, o, earlier, golden, row, channels, largest)
               : BeginChannels<kFlush, false>(by, o, earlier, golden, row, channels, largest);
  };
  return by.least > 0 ? begin.template operator()<true>() : begin.template operator()<false>();
}

size_t End(const float* golden, const double* around, double most, FiniteRow& row, size_t channels,
           bool& beyond) {
  const D d;
  const Wide wide;
  const size_t done = channels / hn::Lanes(d) * hn::Lanes(d);
  const VWide limit = hn::Set(wide, most);
  auto within = hn::Eq(limit, limit);
  for (size_t j = 0; j < done; j += hn::Lanes(d)) {
    const V middle = hn::LoadU(d, golden + j);
    const V away_low = hn::LoadU(d, &row.away_low[j]), away_high = hn::LoadU(d, &row.away_high[j]);
    const VWide lower = LowerWide(middle), upper = UpperWide(middle);
    const VWide lower_width = hn::LoadU(wide, around + j);
    const VWide upper_width = hn::LoadU(wide, around + j + hn::Lanes(wide));
    const VWide least[] = {hn::Sub(hn::Sub(lower, lower_width), LowerWide(away_low)),
                           hn::Sub(hn::Sub(upper, upper_width), UpperWide(away_low))};
    const VWide largest[] = {hn::Add(hn::Add(lower, lower_width), LowerWide(away_high)),
                             hn::Add(hn::Add(upper, upper_width), UpperWide(away_high))};
    for (const VWide sum : {least[0], least[1], largest[0], largest[1]})
      within = hn::And(within, hn::Le(hn::Abs(sum), limit));
    hn::StoreInterleaved2(Down(least[0], least[1]), Up(largest[0], largest[1]), d,
                          &row.ends[2 * j]);
  }
  beyond = !hn::AllTrue(wide, within);
  return done;
}

template <bool kAdd>
size_t ChainWidths(const ChainError& error, double width, const double* v_max, double* widths,
                   size_t channels) {
  const Wide d;
  const size_t done = channels / hn::Lanes(d) * hn::Lanes(d);
  const auto set = [](double x) HWY_ATTR { return hn::Set(Wide(), x); };
  const VWide a_sum = set(error.a_sum), a_max = set(error.a_max), start = set(error.start);
  const VWide tiny = set(error.tiny), instructions = set(error.instructions),
              lost = set(error.lost);
  const VWide per_largest = set(error.per_largest), per_chain = set(error.per_chain);
  const VWide margin = set(ChainError::kMargin), two = set(2.0), unit = set(width);
  /// std::max(), which also says what becomes of NaN.
  const auto larger = [](VWide a, VWide b) HWY_ATTR { return hn::IfThenElse(hn::Lt(a, b), b, a); };
  for (size_t j = 0; j < done; j += hn::Lanes(d)) {
    const VWide v = hn::LoadU(d, v_max + j);
    const VWide total = hn::Mul(margin, hn::Add(hn::Mul(a_sum, v), start));
    const VWide largest = larger(hn::Mul(a_max, larger(v, tiny)), total);
    const VWide of_size =
        hn::Add(hn::Mul(instructions, hn::Add(hn::Mul(per_largest, largest), lost)),
                hn::Mul(per_chain, total));
    const VWide begun = kAdd ? hn::LoadU(d, widths + j) : hn::Mul(unit, v);
    hn::StoreU(hn::Add(begun, hn::Mul(two, of_size)), d, widths + j);
  }
  return done;
}
size_t Widths(const ChainError& error, SumOfWidths sum, const double* v_max, double* widths,
              size_t channels) {
  return sum.add_to_widths ? ChainWidths<true>(error, sum.width, v_max, widths, channels)
                           : ChainWidths<false>(error, sum.width, v_max, widths, channels);
}

size_t AddWidths(double width, const float* v, double* widths, size_t channels) {
  const D d;
  const Wide wide;
  const size_t half = hn::Lanes(wide), done = channels / hn::Lanes(d) * hn::Lanes(d);
  const VWide by = hn::Set(wide, width);
  for (size_t j = 0; j < done; j += hn::Lanes(d)) {
    const V size = hn::Abs(hn::LoadU(d, v + j));
    double* to = widths + j;
    hn::StoreU(hn::Add(hn::LoadU(wide, to), hn::Mul(by, LowerWide(size))), wide, to);
    to += half;
    hn::StoreU(hn::Add(hn::LoadU(wide, to), hn::Mul(by, UpperWide(size))), wide, to);
  }
  return done;
}

#if HWY_TARGET <= HWY_AVX2
using Narrow = hn::Rebind<float, Wide>;
using VNarrow = hn::Vec<Narrow>;
constexpr size_t kRows = hn::MaxLanes(Wide());

/// Four columns from n on of all rows: a block of 128 bits holds those of one row.
HWY_INLINE VNarrow LoadRow(const float* const* rows, size_t i, size_t n) {
  const hn::FixedTag<float, 4> four;
#if HWY_TARGET <= HWY_AVX3
  return hn::Combine(Narrow(), hn::LoadU(four, rows[i + 4] + n), hn::LoadU(four, rows[i] + n));
#else
  return hn::LoadU(four, rows[i] + n);
#endif
}

/// Afterwards x[n] is column n, row by row.
HWY_INLINE void Transpose(VNarrow* x) {
  const Narrow d;
  const hn::Repartition<double, Narrow> pairs;
  const auto pair = [&](VNarrow of) HWY_ATTR { return hn::BitCast(pairs, of); };
  const auto a = pair(hn::InterleaveLower(d, x[0], x[1]));
  const auto b = pair(hn::InterleaveLower(d, x[2], x[3]));
  const auto c = pair(hn::InterleaveUpper(d, x[0], x[1]));
  const auto e = pair(hn::InterleaveUpper(d, x[2], x[3]));
  x[0] = hn::BitCast(d, hn::InterleaveLower(pairs, a, b));
  x[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, a, b));
  x[2] = hn::BitCast(d, hn::InterleaveLower(pairs, c, e));
  x[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, c, e));
}

/// Sums of kRows rows.
struct SumsOfRows {
  VNarrow largest;
  VWide sum, width;
  const float *low[kRows], *high[kRows];

  HWY_INLINE explicit SumsOfRows(const RowEnds* rows)
      : largest(hn::Zero(Narrow())), sum(hn::Zero(Wide())), width(hn::Zero(Wide())) {
    for (size_t i = 0; i < kRows; ++i) {
      low[i] = rows[i].low;
      high[i] = rows[i].high;
    }
  }
  HWY_INLINE void Add(size_t n) {
    VNarrow from[4], to[4];
    for (size_t i = 0; i < 4; ++i) {
      from[i] = LoadRow(low, i, n);
      to[i] = LoadRow(high, i, n);
    }
    Transpose(from);
    Transpose(to);
    for (size_t column = 0; column < 4; ++column) {
      largest = hn::IfThenElse(hn::Lt(largest, to[column]), to[column], largest);
      const VWide end = hn::PromoteTo(Wide(), to[column]);
      sum = hn::Add(sum, end);
      width = hn::Add(width, hn::Sub(end, hn::PromoteTo(Wide(), from[column])));
    }
  }
  HWY_INLINE void Store(LegalSums* to) const {
    HWY_ALIGN float most[kRows];
    HWY_ALIGN double sums[kRows], widths[kRows];
    hn::Store(largest, Narrow(), most);
    hn::Store(sum, Wide(), sums);
    hn::Store(width, Wide(), widths);
    for (size_t i = 0; i < kRows; ++i) to[i] = {most[i], sums[i], widths[i]};
  }
};

/// A sum is a chain of dependent additions, so two groups of rows take turns.
size_t Sums(std::span<const RowEnds> rows, size_t columns, std::span<LegalSums> sums) {
  const size_t whole = columns / 4 * 4;
  size_t i = 0;
  for (; i + 2 * kRows <= rows.size(); i += 2 * kRows) {
    SumsOfRows first(&rows[i]), second(&rows[i + kRows]);
    for (size_t n = 0; n < whole; n += 4) {
      first.Add(n);
      second.Add(n);
    }
    first.Store(&sums[i]);
    second.Store(&sums[i + kRows]);
  }
  for (; i + kRows <= rows.size(); i += kRows) {
    SumsOfRows last(&rows[i]);
    for (size_t n = 0; n < whole; n += 4) last.Add(n);
    last.Store(&sums[i]);
  }
  for (size_t row = 0; row < i; ++row) add_columns(rows[row], whole, columns, sums[row]);
  return i;
}
#else
size_t Sums(std::span<const RowEnds>, size_t, std::span<LegalSums>) { return 0; }
#endif
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace karat::bounds::lanes::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::bounds::lanes {
namespace {
HWY_EXPORT(Rescale);
HWY_EXPORT(Promote);
HWY_EXPORT(Begin);
HWY_EXPORT(End);
HWY_EXPORT(Widths);
HWY_EXPORT(AddWidths);
HWY_EXPORT(Sums);
}  // namespace

std::size_t rescale(Factors by, float* o, std::size_t channels) {
  return HWY_DYNAMIC_DISPATCH(Rescale)(by, o, channels);
}
std::size_t promote(Factors by, const float* o, const float* t, const float* f, float* ends,
                    std::size_t channels, LargestBits& largest) {
  return HWY_DYNAMIC_DISPATCH(Promote)(by, o, t, f, ends, channels, largest);
}
std::size_t begin(Factors by, const float* o, const float* earlier, const float* golden,
                  FiniteRow& row, std::size_t channels, LargestBits& largest) {
  return HWY_DYNAMIC_DISPATCH(Begin)(by, o, earlier, golden, row, channels, largest);
}
std::size_t end(const float* golden, const double* around, double most, FiniteRow& row,
                std::size_t channels, bool& beyond) {
  return HWY_DYNAMIC_DISPATCH(End)(golden, around, most, row, channels, beyond);
}
std::size_t widths(const ChainError& error, SumOfWidths sum, const double* v_max, double* widths,
                   std::size_t channels) {
  return HWY_DYNAMIC_DISPATCH(Widths)(error, sum, v_max, widths, channels);
}
std::size_t add_widths(double width, const float* v, double* widths, std::size_t channels) {
  return HWY_DYNAMIC_DISPATCH(AddWidths)(width, v, widths, channels);
}
std::size_t legal_sums(std::span<const RowEnds> rows, std::size_t columns,
                       std::span<LegalSums> sums) {
  return HWY_DYNAMIC_DISPATCH(Sums)(rows, columns, sums);
}

}  // namespace karat::bounds::lanes
#endif  // HWY_ONCE
