// Keys side by side; of row sums the four partial sums, eight chains of additions in turn.
#include "row_lanes.hpp"

#include <cmath>
#include <cstdint>

#include "karat/numerics/base/simd.hpp"
#include "non_finite.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "row_lanes.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace karat::bounds::lanes::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
size_t Powers(const LegalPower&, const LegalRow&, size_t) { return 0; }
size_t Sums(std::span<const QuadSum>, size_t, QuadStart) { return 0; }
size_t LargestNumber(const float*, size_t, float&) { return 0; }
#else
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

size_t Powers(const LegalPower& power, const LegalRow& row, size_t keys) {
  const D d;
  const hn::RebindToSigned<D> di;
  const size_t done = keys / hn::Lanes(d) * hn::Lanes(d);
  const V from = hn::Set(d, power.from), to = hn::Set(d, power.to);
  const V multiplier = hn::Set(d, power.multiplier), least = hn::Set(d, power.least);
  const auto tiny_bits = hn::BitCast(di, hn::Set(d, kTiny));
  const V infinity = hn::Set(d, HUGE_VALF);
  const auto operand = [&](V p) HWY_ATTR {
    const V product = hn::Mul(p, multiplier);
    return hn::IfThenZeroElse(hn::Lt(product, least), product);
  };
  for (size_t n = 0; n < done; n += hn::Lanes(d)) {
    const V x = hn::LoadU(d, row.x + n), own = hn::LoadU(d, row.low + n);
    const auto given = hn::Or(hn::Eq(x, hn::Zero(d)), hn::Eq(x, hn::Neg(infinity)));
    const auto is_tiny = hn::Lt(hn::BitCast(di, own), tiny_bits);
    const auto least_bits = hn::IfThenZeroElse(is_tiny, hn::BitCast(di, hn::Mul(own, from)));
    const auto most_bits =
        hn::Max(hn::BitCast(di, hn::Mul(own, to)), hn::IfThenElseZero(is_tiny, tiny_bits));
    const V low = hn::IfThenElse(given, own, hn::BitCast(d, least_bits));
    const V high = hn::IfThenElse(given, own, hn::BitCast(d, most_bits));
    hn::StoreU(low, d, row.low + n);
    hn::StoreU(high, d, row.high + n);
    hn::StoreU(operand(low), d, row.cast_low + n);
    hn::StoreU(operand(high), d, row.cast_high + n);
  }
  return done;
}

using Four = hn::FixedTag<float, 4>;
using VFour = hn::Vec<Four>;

/// a*b + c in one rounding on every target.
HWY_INLINE VFour Fused(VFour a, VFour b, VFour c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  HWY_ALIGN float x[4], y[4], z[4];
  hn::Store(a, Four(), x);
  hn::Store(b, Four(), y);
  hn::Store(c, Four(), z);
  for (size_t i = 0; i < 4; ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(Four(), z);
#endif
}

constexpr size_t kChains = 8;

size_t Sums(std::span<const QuadSum> sums, size_t terms, QuadStart start) {
  const Four d;
  const size_t whole = terms / 8 * 8;
  if (whole == 0) return 0;
  const VFour least = hn::Set(d, start.flush ? 0x1p-126f : 0.0f);
  const auto flushed = [&](VFour x) HWY_ATTR {
    return hn::IfThenElse(hn::Lt(hn::Abs(x), least), hn::And(x, hn::SignBit(d)), x);
  };
  size_t i = 0;
  for (; i + kChains <= sums.size(); i += kChains) {
    const QuadSum* chains = &sums[i];
    VFour sum[kChains];
    for (size_t c = 0; c < kChains; ++c) {
      const VFour a = hn::LoadU(d, chains[c].terms), b = hn::LoadU(d, chains[c].terms + 4);
      const VFour even = hn::ConcatEven(d, b, a), odd = hn::ConcatOdd(d, b, a);
      const VFour past = hn::LoadU(d, chains[c].sums), alpha = hn::Set(d, chains[c].alpha);
      const VFour begun = start.start == recipe::RowSumStart::fused_first
                              ? flushed(Fused(past, alpha, even))
                              : hn::Add(flushed(hn::Mul(past, alpha)), even);
      sum[c] = hn::Add(begun, odd);
    }
    for (size_t n = 8; n < whole; n += 8)
      for (size_t c = 0; c < kChains; ++c) {
        const float* from = chains[c].terms + n;
        const VFour a = hn::LoadU(d, from), b = hn::LoadU(d, from + 4);
        sum[c] = hn::Add(hn::Add(sum[c], hn::ConcatEven(d, b, a)), hn::ConcatOdd(d, b, a));
      }
    for (size_t c = 0; c < kChains; ++c) {
      hn::StoreU(sum[c], d, chains[c].sums);
      for (size_t n = whole; n < terms; ++n) chains[c].sums[n / 2 % 4] += chains[c].terms[n];
    }
  }
  return i;
}

size_t LargestNumber(const float* x, size_t count, float& largest) {
  const D d;
  const size_t done = count / hn::Lanes(d) * hn::Lanes(d);
  const V before = hn::Set(d, largest);
  V most = before;
  for (size_t n = 0; n < done; n += hn::Lanes(d)) {
    const V next = hn::LoadU(d, x + n);
    most = hn::IfThenElse(hn::Gt(next, most), next, most);
  }
  // Some targets begin the reduction at the lowest finite number.
  if (!hn::AllTrue(d, hn::Eq(most, before))) largest = hn::GetLane(hn::MaxOfLanes(d, most));
  return done;
}
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace karat::bounds::lanes::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::bounds::lanes {
namespace {
HWY_EXPORT(Powers);
HWY_EXPORT(Sums);
HWY_EXPORT(LargestNumber);
}  // namespace

std::size_t legal_powers(const LegalPower& power, const LegalRow& row, std::size_t keys) {
  return HWY_DYNAMIC_DISPATCH(Powers)(power, row, keys);
}
std::size_t quad_sums(std::span<const QuadSum> sums, std::size_t terms, QuadStart start) {
  return HWY_DYNAMIC_DISPATCH(Sums)(sums, terms, start);
}
std::size_t largest_number(const float* x, std::size_t count, float& largest) {
  return HWY_DYNAMIC_DISPATCH(LargestNumber)(x, count, largest);
}

}  // namespace karat::bounds::lanes
#endif  // HWY_ONCE
