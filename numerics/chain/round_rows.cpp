// Rows that are rounded to the instruction's input format while they are packed. With
// M = 2^(e + 23 - p), e the value's exponent and p the format's fraction bits, ulp(M) is the
// format's grid at the value, so x + M rounds there and the subtraction is exact.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain/round_rows.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <type_traits>

#include "karat/numerics/chain/kernels.hpp"
#include "karat/numerics/formats/convert.hpp"

#ifndef KARAT_NUMERICS_ROUND_ROWS
#define KARAT_NUMERICS_ROUND_ROWS
namespace karat::numerics {
namespace {

/// The set bits of a byte, ascending, then zeros.
constexpr auto kLanesOfBits = [] {
  std::array<std::array<std::uint8_t, 8>, 256> lanes{};
  for (std::size_t bits = 0; bits < 256; ++bits)
    for (std::uint8_t bit = 0, n = 0; bit < 8; ++bit)
      if (bits >> bit & 1) lanes[bits][n++] = bit;
  return lanes;
}();

}  // namespace
}  // namespace karat::numerics
#endif

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// No more than 16 lanes: rows are whole vectors.
using D32 = hn::CappedTag<float, 16>;
using DU32 = hn::RebindToUnsigned<D32>;
using V32 = hn::Vec<D32>;
using VU32 = hn::Vec<DU32>;

HWY_INLINE void StoreMagnitudes(V32 x, float* to) { hn::StoreU(x, D32(), to); }
HWY_INLINE void StoreMagnitudes(V32 x, double* to) {
#if HWY_TARGET == HWY_SCALAR
  *to = hn::GetLane(x);
#else
  const hn::RepartitionToWide<D32> wide;
  const hn::Half<D32> half;
  hn::StoreU(hn::PromoteTo(wide, hn::LowerHalf(half, x)), wide, to);
  hn::StoreU(hn::PromoteTo(wide, hn::UpperHalf(half, x)), wide, to + hn::Lanes(wide));
#endif
}

/// The low kBytes of every lane as often as they fit.
template <std::size_t kBytes>
HWY_INLINE VU32 Repeated(VU32 x) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  const VU32 lowest = hn::And(x, hn::Set(DU32(), kBytes == 1 ? 0xFFu : 0xFFFFu));
  const VU32 half = kBytes == 1 ? hn::Or(lowest, hn::ShiftLeft<8>(lowest)) : lowest;
  return hn::Or(half, hn::ShiftLeft<16>(half));
#else
  constexpr std::uint32_t kFirst = kBytes == 1 ? 0 : 0x01000100u;
  alignas(16) constexpr std::uint32_t kSources[4] = {kFirst, kFirst + 0x04040404u,
                                                     kFirst + 0x08080808u, kFirst + 0x0C0C0C0Cu};
  return hn::TableLookupBytes(x, hn::LoadDup128(DU32(), kSources));
#endif
}

/// What a format asks of the loop.
struct Grid {
  float factor, largest;
  std::uint32_t least_power;  ///< exponent field of the smallest normal number, in place
  std::uint32_t unit;         ///< 23 - fraction bits, as an exponent field in place
};

/// One row; T is what the lanes multiply. @return the largest bits of a product x * factor
template <typename T>
HWY_INLINE std::uint32_t RoundRow(const Grid& grid, const float* x, std::size_t count,
                                  float* rounded, T* magnitude, std::uint32_t* exponent) {
  constexpr bool kNarrow = std::is_same_v<T, float>;
  constexpr std::size_t kBytes = kNarrow ? 1 : 2;
  const D32 d;
  const DU32 du;
  const std::size_t lanes = hn::Lanes(d);
  const V32 factor = hn::Set(d, grid.factor), largest = hn::Set(d, grid.largest);
  const VU32 field = hn::Set(du, 0x7F800000u), least = hn::Set(du, grid.least_power);
  const VU32 unit = hn::Set(du, grid.unit), bias = hn::Set(du, 127u);
  const VU32 none = hn::Set(du, static_cast<std::uint32_t>(kNarrow ? kNoExponent8 : kNoExponent16));
  VU32 most = hn::Zero(du);
  for (std::size_t k = 0; k < count; k += lanes) {
    const V32 product = hn::Mul(hn::LoadU(d, x + k), factor);
    most = hn::Max(most, hn::BitCast(du, product));
    const V32 bounded = hn::Min(product, largest);
    const VU32 power = hn::Max(hn::And(hn::BitCast(du, bounded), field), least);
    const V32 m = hn::BitCast(d, hn::Add(power, unit));
    const V32 y = hn::Sub(hn::Add(bounded, m), m);
    hn::StoreU(y, d, rounded + k);
    StoreMagnitudes(y, magnitude + k);
    const VU32 y_power = hn::Max(hn::And(hn::BitCast(du, y), field), least);
    const VU32 e = hn::Sub(hn::ShiftRight<23>(y_power), bias);
    const VU32 value = hn::IfThenElse(hn::Eq(hn::BitCast(du, y), hn::Zero(du)), none, e);
    hn::StoreU(Repeated<kBytes>(value), du, exponent + k);
  }
  HWY_ALIGN std::uint32_t each[hn::MaxLanes(DU32())];
  hn::Store(most, du, each);
  return *std::max_element(each, each + lanes);
}

/// How many products are larger than `largest`.
std::size_t CountLarger(const float* x, std::size_t count, float factor, float largest) {
  std::size_t larger = 0;
  for (std::size_t k = 0; k < count; ++k) larger += x[k] * factor > largest;
  return larger;
}

/// What a zero has for an exponent, repeated.
template <typename T>
constexpr std::uint32_t kNoExponent = std::is_same_v<T, float>
                                          ? (kNoExponent8 & 0xFFu) * 0x01010101u
                                          : (kNoExponent16 & 0xFFFFu) * 0x00010001u;

/// One step of a pair of rows, in order of k; of each row where the step begins.
template <typename T>
struct PairStep {
  std::size_t size;
  const float* rounded[2];
  T* magnitude[2];
  std::uint32_t* exponent[2];
  std::uint32_t* schedule;
  std::uint32_t *same, *used;
  void take(std::size_t count) const { *same = *used = static_cast<std::uint32_t>(count); }
};

/// Moves the kept lanes to the front; what is behind them is anything.
class Compressor {
 public:
#if HWY_TARGET == HWY_AVX2
  // The lanes come from a table once for all vectors of a mask.
  explicit HWY_INLINE Compressor(hn::Mask<DU32> kept) : lanes_(hn::Zero(DU32())) {
    std::uint8_t bits[8];
    hn::StoreMaskBits(DU32(), kept, bits);
    const hn::Rebind<std::uint8_t, DU32> narrow;
    lanes_ = hn::PromoteTo(DU32(), hn::LoadU(narrow, kLanesOfBits[bits[0]].data()));
  }
  HWY_INLINE VU32 operator()(VU32 x) const {
    return hn::TableLookupLanes(x, hn::IndicesFromVec(DU32(), lanes_));
  }

 private:
  VU32 lanes_;
#else
  explicit HWY_INLINE Compressor(hn::Mask<DU32> kept) : kept_(kept) {}
  HWY_INLINE VU32 operator()(VU32 x) const { return hn::Compress(x, kept_); }

 private:
  hn::Mask<DU32> kept_;
#endif
};

/// Moves the products of which one is not zero to the front, filled up to a multiple of 4.
/// @return whether that leaves out enough to pay for itself; if not, nothing is moved
template <std::size_t kSize, typename T>
HWY_INLINE bool LeaveOutZerosOf(const PairStep<T>& of) {
  const D32 d;
  const DU32 du;
  constexpr std::size_t kLanes = hn::MaxLanes(D32()), kVectors = kSize / kLanes;
  VU32 bits[2][kVectors], exponent[2][kVectors];
  std::size_t counts[kVectors], nonzero = 0;
  for (std::size_t v = 0; v < kVectors; ++v) {
    for (std::size_t r = 0; r < 2; ++r) {
      bits[r][v] = hn::BitCast(du, hn::LoadU(d, of.rounded[r] + v * kLanes));
      // Before any store: one that overlaps a later load would hold it up.
      exponent[r][v] = hn::LoadU(du, of.exponent[r] + v * kLanes);
    }
    counts[v] = hn::CountTrue(du, hn::Ne(hn::Or(bits[0][v], bits[1][v]), hn::Zero(du)));
    nonzero += counts[v];
  }
  const std::size_t used = (nonzero + 3) / 4 * 4;
  if (used + 8 > kSize) return false;
  constexpr int kPlaceBits = std::bit_width(2 * kPanel - 1);
  std::size_t to = 0;
  for (std::size_t v = 0; v < kVectors; ++v) {
    const Compressor kept(hn::Ne(hn::Or(bits[0][v], bits[1][v]), hn::Zero(du)));
    const VU32 k = hn::Iota(du, static_cast<std::uint32_t>(v * kLanes));
    // Whole vectors: what is behind the kept ones the next store replaces.
    hn::StoreU(kept(hn::ShiftLeft<kPlaceBits>(k)), du, of.schedule + to);
    for (std::size_t r = 0; r < 2; ++r) {
      StoreMagnitudes(hn::BitCast(d, kept(bits[r][v])), of.magnitude[r] + to);
      hn::StoreU(kept(exponent[r][v]), du, of.exponent[r] + to);
    }
    to += counts[v];
  }
  // Four zeros, of which at most three are used: there is room for them.
  std::fill_n(of.schedule + to, 4, 0u);
  for (std::size_t r = 0; r < 2; ++r) {
    std::fill_n(of.magnitude[r] + to, 4, T{0});
    std::fill_n(of.exponent[r] + to, 4, kNoExponent<T>);
  }
  of.take(used);
  return true;
}

/// The same for steps of 32 and 16 products, which all formats of 8 bits have; what rounds to
/// others is seldom zero.
template <typename T>
HWY_INLINE bool LeaveOutZeros(const PairStep<T>& of) {
  return of.size == 32 ? LeaveOutZerosOf<32>(of) : of.size == 16 ? LeaveOutZerosOf<16>(of) : false;
}

template <typename T>
RoundedRows RoundRows(const RoundingRows& of, const Grid& grid, std::uint32_t limit,
                      RowOperand::Packed& p, T* magnitudes) {
  const auto step = static_cast<std::size_t>(p.instruction->step);
  const std::size_t steps = p.padded / step;
  RoundedRows made{.packed = true, .beyond = 0};
  for (std::size_t i = 0; i < of.values.rows; i += 2) {
    const std::size_t row = of.first + i, at = row * p.padded;
    for (std::size_t r = 0; r < 2; ++r) {
      const std::size_t begin = at + r * p.padded;
      float* rounded = p.rounded.data() + begin;
      if (i + r >= of.values.rows) {  // the partner of an odd last row
        std::fill_n(rounded, p.padded, 0.0f);
        std::fill_n(magnitudes + begin, p.padded, T{0});
        std::fill_n(p.exponent.data() + begin, p.padded, kNoExponent<T>);
        continue;
      }
      const float* x = of.values.data + (i + r) * of.values.row_stride;
      const std::uint32_t most =
          RoundRow(grid, x, p.padded, rounded, magnitudes + begin, p.exponent.data() + begin);
      if (most > limit) return {};
      if (most > std::bit_cast<std::uint32_t>(grid.largest))
        made.beyond += CountLarger(x, p.padded, grid.factor, grid.largest);
      p.special.data()[row + r] = 0;
    }
    // No value is negative: products keep their order.
    std::uint8_t& ordered = p.ordered.data()[row / 2];
    const bool was_ordered = ordered != 0;
    ordered = 1;
    for (std::size_t n = 0; n < steps; ++n) {
      const std::size_t first = at + n * step, second = first + p.padded;
      const std::size_t place = row / 2 * steps + n;
      const PairStep<T> pair{.size = step,
                             .rounded = {&p.rounded.data()[first], &p.rounded.data()[second]},
                             .magnitude = {magnitudes + first, magnitudes + second},
                             .exponent = {&p.exponent.data()[first], &p.exponent.data()[second]},
                             .schedule = &p.schedule.data()[at / 2 + n * step],
                             .same = &p.same.data()[place],
                             .used = &p.used.data()[place]};
      if (LeaveOutZeros(pair)) {
        ordered = 0;
      } else if (!was_ordered) {
        for (std::size_t q = 0; q < step; ++q)
          pair.schedule[q] = static_cast<std::uint32_t>(q * 2 * kPanel);
        pair.take(step);
      }
    }
  }
  return made;
}

RoundedRows RoundRowsOf(const RoundingRows& of, RowOperand::Packed& p) {
  const Format& input = format(p.instruction->input);
  const float largest = decode(input.max_finite(), input.id);
  const Grid grid{of.factor, largest, static_cast<std::uint32_t>(input.min_exponent() + 127) << 23,
                  static_cast<std::uint32_t>(23 - input.fraction_bits) << 23};
  // Up to Inf where it becomes the largest number, else far from where M would be Inf.
  const float least_too_large = largest < 0x1p100f ? HUGE_VALF : 0x1p100f;
  const auto limit = std::bit_cast<std::uint32_t>(least_too_large);
  return lanes_of(*p.instruction) == Lanes::split_f32 ? RoundRows(of, grid, limit, p, p.f32.data())
                                                      : RoundRows(of, grid, limit, p, p.f64.data());
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(RoundRowsOf);
}  // namespace

RoundedRows round_rows(const RoundingRows& of, RowOperand::Packed& p) {
  return HWY_DYNAMIC_DISPATCH(RoundRowsOf)(of, p);
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
