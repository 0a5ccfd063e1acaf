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
#include <bit>
#include <cmath>
#include <type_traits>

#include "karat/numerics/chain/kernels.hpp"
#include "karat/numerics/formats/convert.hpp"

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
HWY_INLINE std::uint32_t RoundRow(const Grid& grid, const float* x, std::size_t count, T* magnitude,
                                  std::uint32_t* exponent) {
  constexpr bool kNarrow = std::is_same_v<T, float>;
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
    StoreMagnitudes(y, magnitude + k);
    const VU32 y_power = hn::Max(hn::And(hn::BitCast(du, y), field), least);
    const VU32 e = hn::Sub(hn::ShiftRight<23>(y_power), bias);
    const VU32 value = hn::IfThenElse(hn::Eq(hn::BitCast(du, y), hn::Zero(du)), none, e);
    hn::StoreU(Repeated < kNarrow ? 1 : 2 > (value), du, exponent + k);
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

template <typename T>
RoundedRows RoundRows(const RoundingRows& of, const Grid& grid, std::uint32_t limit,
                      RowOperand::Packed& p, T* magnitudes) {
  const auto step = static_cast<std::size_t>(p.instruction->step);
  RoundedRows made{.packed = true, .beyond = 0};
  for (std::size_t i = 0; i < of.values.rows; i += 2) {
    const std::size_t row = of.first + i, at = row * p.padded;
    for (std::size_t r = 0; r < 2; ++r) {
      T* magnitude = magnitudes + at + r * p.padded;
      std::uint32_t* exponent = p.exponent.data() + at + r * p.padded;
      if (i + r >= of.values.rows) {  // the partner of an odd last row
        std::fill_n(magnitude, p.padded, T{0});
        constexpr bool kNarrow = std::is_same_v<T, float>;
        const std::uint32_t none = kNarrow ? (kNoExponent8 & 0xFFu) * 0x01010101u
                                           : (kNoExponent16 & 0xFFFFu) * 0x00010001u;
        std::fill_n(exponent, p.padded, none);
        continue;
      }
      const float* x = of.values.data + (i + r) * of.values.row_stride;
      const std::uint32_t most = RoundRow(grid, x, p.padded, magnitude, exponent);
      if (most > limit) return {};
      if (most > std::bit_cast<std::uint32_t>(grid.largest))
        made.beyond += CountLarger(x, p.padded, grid.factor, grid.largest);
      p.special.data()[row + r] = 0;
    }
    // No value is negative: products keep their order.
    std::uint8_t& ordered = p.ordered.data()[row / 2];
    if (ordered) continue;
    ordered = 1;
    for (std::size_t k = 0; k < p.padded; ++k)
      p.schedule.data()[at / 2 + k] = static_cast<std::uint32_t>(k % step * 2 * kPanel);
    std::fill_n(p.same.data() + at / 2 / step, p.padded / step, static_cast<std::uint32_t>(step));
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
