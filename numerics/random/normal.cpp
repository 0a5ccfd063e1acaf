// Box-Muller, as many pairs of words side by side as a vector holds doubles: the operations of
// ln_f64() and sin_cos_turns() in their order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/random/normal.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <cmath>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/elementary.hpp"
#include "karat/numerics/random/normal.hpp"
#include "karat/numerics/random/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
size_t NormalPairs(const std::uint32_t*, size_t, float*) { return 0; }
#else
using D = hn::ScalableTag<double>;
using DU = hn::RebindToUnsigned<D>;
using V = hn::Vec<D>;
using VU = hn::Vec<DU>;

HWY_INLINE V Set(double x) { return hn::Set(D(), x); }

/// p*x + constant, rounded twice.
HWY_INLINE V Step(V p, V x, double constant) { return hn::Add(hn::Mul(p, x), Set(constant)); }

/// Of an integer below 2^52.
HWY_INLINE V ToDouble(VU x) {
  const VU with_exponent = hn::Or(x, hn::BitCast(DU(), Set(0x1p52)));
  return hn::Sub(hn::BitCast(D(), with_exponent), Set(0x1p52));
}

/// ln_f64() of numbers from 2^-40 to 1.
HWY_INLINE V Ln(V x) {
  const D d;
  const DU du;
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCDu, kAbove = 64;
  const VU bits = hn::BitCast(du, x);
  const VU above =
      hn::ShiftRight<52>(hn::Add(hn::Sub(bits, hn::Set(du, kSqrtHalf)), hn::Set(du, kAbove << 52)));
  const VU exponent_bits = hn::ShiftLeft<52>(hn::Sub(above, hn::Set(du, kAbove)));
  const V e = hn::Sub(ToDouble(above), Set(double{kAbove}));
  const V m = hn::BitCast(d, hn::Sub(bits, exponent_bits));
  const V s = hn::Div(hn::Sub(m, Set(1)), hn::Add(m, Set(1)));
  const V z = hn::Mul(s, s);
  V p = Set(1.0 / 21);
  for (const double coefficient :
       {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3})
    p = Step(p, z, coefficient);
  const V twice = hn::Add(s, s);
  const V tail = hn::Mul(twice, hn::Mul(z, p));
  const V low = hn::Add(tail, hn::Mul(e, Set(kLn2Low)));
  return hn::Add(hn::Mul(e, Set(kLn2High)), hn::Add(twice, low));
}

/// sin_cos_turns() of numbers from 0 to 1.
HWY_INLINE void SinCosOfTurns(V x, V& sine, V& cosine) {
  const D d;
  const DU du;
  constexpr double kTwoPi = 6.283185307179586476925286766559, kShift = 0x1.8p52;
  const V shifted = hn::Add(hn::Mul(Set(4), x), Set(kShift));
  const V n = hn::Sub(shifted, Set(kShift));
  const V y = hn::Mul(hn::Sub(x, hn::Mul(Set(0.25), n)), Set(kTwoPi));
  const V z = hn::Mul(y, y);
  V s = Set(1.0 / 355687428096000);
  for (const double coefficient : {-1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
                                   1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6})
    s = Step(s, z, coefficient);
  s = hn::Add(y, hn::Mul(y, hn::Mul(z, s)));
  V c = Set(1.0 / 20922789888000);
  for (const double coefficient : {-1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320,
                                   -1.0 / 720, 1.0 / 24, -1.0 / 2})
    c = Step(c, z, coefficient);
  c = hn::Add(Set(1), hn::Mul(z, c));
  const VU quarter = hn::BitCast(du, shifted);  // the lowest bits are n's
  const VU two = hn::Set(du, 2);
  const auto sign = [&](VU q)
                        HWY_ATTR { return hn::BitCast(d, hn::ShiftLeft<62>(hn::And(q, two))); };
  const auto swap = hn::RebindMask(d, hn::TestBit(quarter, hn::Set(du, 1)));
  sine = hn::Xor(hn::IfThenElse(swap, c, s), sign(quarter));
  cosine = hn::Xor(hn::IfThenElse(swap, s, c), sign(hn::Add(quarter, hn::Set(du, 1))));
}

/// @return how many pairs of words it turned into pairs of values
size_t NormalPairs(const std::uint32_t* words, size_t pairs, float* out) {
  const D d;
  const DU du;
  const hn::Rebind<float, D> narrow;
  const hn::Repartition<std::uint32_t, DU> in_words;
  const size_t done = pairs / hn::Lanes(d) * hn::Lanes(d);
  for (size_t pair = 0; pair < done; pair += hn::Lanes(d)) {
    const VU both = hn::BitCast(du, hn::LoadU(in_words, words + 2 * pair));
    const V first = ToDouble(hn::And(both, hn::Set(du, 0xFFFFFFFF)));
    const V second = ToDouble(hn::ShiftRight<32>(both));
    const V uniform = hn::Mul(hn::Add(first, Set(0.5)), Set(0x1p-32));
    const V radius = hn::Sqrt(hn::Mul(Set(-2), Ln(uniform)));
    V sine, cosine;
    SinCosOfTurns(hn::Mul(second, Set(0x1p-32)), sine, cosine);
    hn::StoreInterleaved2(hn::DemoteTo(narrow, hn::Mul(radius, cosine)),
                          hn::DemoteTo(narrow, hn::Mul(radius, sine)), narrow, out + 2 * pair);
  }
  return done;
}
#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(NormalPairs);
}  // namespace

std::array<float, 2> normal_pair(std::uint32_t first, std::uint32_t second) {
  const double radius = std::sqrt(-2 * ln_f64((first + 0.5) * 0x1p-32));
  const auto [sine, cosine] = sin_cos_turns(second * 0x1p-32);
  return {static_cast<float>(radius * cosine), static_cast<float>(radius * sine)};
}

void fill_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t first_block,
                 std::span<float> out) {
  constexpr std::size_t kWords = 256;
  std::uint32_t words[kWords];
  float values[kWords];
  for (std::size_t i = 0; i < out.size(); i += kWords) {
    const std::size_t size = std::min(kWords, out.size() - i);
    const std::size_t pairs = (size + 1) / 2;
    fill_random({.seed = seed, .stream = stream, .first = 4 * first_block + i},
                std::span(words).first(2 * pairs));
    for (std::size_t pair = HWY_DYNAMIC_DISPATCH(NormalPairs)(words, pairs, values); pair < pairs;
         ++pair) {
      const auto both = normal_pair(words[2 * pair], words[2 * pair + 1]);
      std::copy(both.begin(), both.end(), &values[2 * pair]);
    }
    std::copy_n(values, size, out.begin() + i);
  }
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
