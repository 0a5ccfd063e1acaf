// Arrays of f32 to codes with Highway: round_magnitude() in 32-bit lanes, any format of up to 16
// bits. All lanes are integers, so no target can round differently. encode_bytes.cpp has a shorter
// way.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/formats/convert_arrays.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <type_traits>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/sizes.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/formats/encode_bytes.hpp"
#include "karat/numerics/random/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<DF>;
using DI = hn::RebindToSigned<DF>;
using VU = hn::Vec<DU>;

/// What is added to the significand before the shift drops `shift` bits; each mode's line is the
/// condition of rounds_away() turned into a carry.
template <Rounding kRounding>
HWY_INLINE VU Addend(DU du, VU significand, VU shift, VU negative, VU random) {
  const VU one = hn::Set(du, 1u);
  const VU unit = hn::Shl(one, shift);
  switch (kRounding) {
    case Rounding::nearest_even: {
      const VU odd = hn::And(hn::Shr(significand, shift), one);
      return hn::Add(hn::Sub(hn::ShiftRight<1>(unit), one), odd);
    }
    case Rounding::nearest_away:
      return hn::ShiftRight<1>(unit);
    case Rounding::up:
      return hn::AndNot(negative, hn::Sub(unit, one));
    case Rounding::down:
      return hn::And(negative, hn::Sub(unit, one));
    case Rounding::stochastic:
      return hn::Shr(hn::ShiftRight<1>(random), hn::Sub(hn::Set(du, 31u), shift));
    case Rounding::toward_zero:
      break;
  }
  return hn::Zero(du);
}

/// The results of encode() for the special inputs of one format and policy, as vectors.
struct Constants {
  VU min_exponent;  // biased like f32
  VU max_finite, over_positive, over_negative, infinite, nan_positive, nan_negative;
};

template <Rounding kRounding>
HWY_INLINE VU EncodeVector(DU du, const Format& f, const Constants& k, VU bits, VU random) {
  const VU magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
  const VU negative = hn::BitCast(du, hn::BroadcastSignBit(hn::BitCast(DI(), bits)));
  const VU exponent = hn::Max(hn::ShiftRight<23>(magnitude), hn::Set(du, 1u));
  VU significand = hn::Sub(magnitude, hn::ShiftLeft<23>(hn::Sub(exponent, hn::Set(du, 1u))));
  const VU raised = hn::Max(exponent, k.min_exponent);
  VU shift = hn::Add(hn::Sub(raised, exponent),
                     hn::Set(du, static_cast<std::uint32_t>(23 - f.fraction_bits)));
  const VU limit = hn::Set(du, 31u);
  if constexpr (kRounding == Rounding::stochastic) {
    const VU excess = hn::Min(hn::Sub(hn::Max(shift, limit), limit), limit);
    significand = hn::Shr(significand, excess);
  }
  shift = hn::Min(shift, limit);
  const VU addend = Addend<kRounding>(du, significand, shift, negative, random);
  const VU n = hn::Shr(hn::Add(significand, addend), shift);
  const VU base = hn::ShiftLeftSame(hn::Sub(raised, k.min_exponent), f.fraction_bits);
  const VU code = hn::Add(base, n);

  const auto is_negative = hn::MaskFromVec(negative);
  const VU over = hn::IfThenElse(is_negative, k.over_negative, k.over_positive);
  VU result = hn::IfThenElse(hn::Gt(code, k.max_finite), over, code);
  const VU infinity = hn::Set(du, 0x7F800000u);
  result = hn::IfThenElse(hn::Eq(magnitude, infinity), k.infinite, result);
  result = hn::Or(result, hn::And(negative, hn::Set(du, f.sign_mask())));
  const VU nan = hn::IfThenElse(is_negative, k.nan_negative, k.nan_positive);
  return hn::IfThenElse(hn::Gt(magnitude, infinity), nan, result);
}

template <typename Code>
HWY_INLINE void StoreCodes(DU du, VU codes, Code* out) {
  if constexpr (sizeof(Code) == 1) {
    hn::StoreU(hn::U8FromU32(codes), hn::Rebind<std::uint8_t, DU>(), out);
  } else {
    const hn::Rebind<std::uint16_t, DU> d16;
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(DI(), codes)), d16, out);
  }
  (void)du;
}

template <Rounding kRounding, typename Code>
void EncodeLoop(const Format& f, Policy policy, const float* x, std::size_t count,
                const std::uint32_t* random, Code* codes) {
  const DF df;
  const DU du;
  const float infinity = std::bit_cast<float>(0x7F800000u);
  const float nan = std::bit_cast<float>(0x7FC00000u);
  const float huge = std::bit_cast<float>(0x7F7FFFFFu);
  // With all random bits set, stochastic rounding takes the largest f32 beyond bf16's range too.
  const auto magnitude_of = [&](float value) {
    return hn::Set(du, numerics::encode(value, f.id, policy, ~0u) & f.magnitude_mask());
  };
  const Constants k = {
      .min_exponent = hn::Set(du, static_cast<std::uint32_t>(f.min_exponent() + 127)),
      .max_finite = hn::Set(du, f.max_finite()),
      .over_positive = magnitude_of(huge),
      .over_negative = magnitude_of(-huge),
      .infinite = magnitude_of(infinity),
      .nan_positive = hn::Set(du, numerics::encode(nan, f.id, policy)),
      .nan_negative = hn::Set(du, numerics::encode(-nan, f.id, policy)),
  };
  const std::size_t lanes = hn::Lanes(df);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    VU bits_of_chance = hn::Zero(du);
    if constexpr (kRounding == Rounding::stochastic) bits_of_chance = hn::LoadU(du, random + i);
    const VU bits = hn::BitCast(du, hn::LoadU(df, x + i));
    StoreCodes(du, EncodeVector<kRounding>(du, f, k, bits, bits_of_chance), codes + i);
  }
  for (; i < count; ++i) {
    codes[i] = static_cast<Code>(
        numerics::encode(x[i], f.id, policy, kRounding == Rounding::stochastic ? random[i] : 0));
  }
}

template <typename Code>
void EncodeAny(const Format& f, Policy policy, const float* x, std::size_t count,
               const std::uint32_t* random, Code* codes) {
  switch (policy.rounding) {
    case Rounding::nearest_even:
      return EncodeLoop<Rounding::nearest_even>(f, policy, x, count, random, codes);
    case Rounding::toward_zero:
      return EncodeLoop<Rounding::toward_zero>(f, policy, x, count, random, codes);
    case Rounding::up:
      return EncodeLoop<Rounding::up>(f, policy, x, count, random, codes);
    case Rounding::down:
      return EncodeLoop<Rounding::down>(f, policy, x, count, random, codes);
    case Rounding::nearest_away:
      return EncodeLoop<Rounding::nearest_away>(f, policy, x, count, random, codes);
    case Rounding::stochastic:
      return EncodeLoop<Rounding::stochastic>(f, policy, x, count, random, codes);
  }
}

/// Integers to nearest even. They saturate under every policy, so that a value may be cut to the
/// range before it is rounded; NaN becomes 0.
void EncodeInteger(const Format& f, Policy policy, const float* x, std::size_t count,
                   std::uint8_t* codes) {
  const DF df;
  const DU du;
  const auto high = hn::Set(df, static_cast<float>(f.max_finite()));
  const auto low = hn::Set(df, -static_cast<float>(f.max_finite()) - 1);
  const std::size_t lanes = hn::Lanes(df);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto any = hn::LoadU(df, x + i);
    const auto value = hn::IfThenElseZero(hn::Eq(any, any), any);
    const auto rounded = hn::NearestInt(hn::Min(hn::Max(value, low), high));
    StoreCodes(du, hn::And(hn::BitCast(du, rounded), hn::Set(du, f.mask())), codes + i);
  }
  for (; i < count; ++i) codes[i] = static_cast<std::uint8_t>(numerics::encode(x[i], f.id, policy));
}

void Encode8(const Format& f, Policy policy, const float* x, std::size_t count,
             const std::uint32_t* random, std::uint8_t* codes) {
  if (f.kind == Kind::integer) return EncodeInteger(f, policy, x, count, codes);
  EncodeAny(f, policy, x, count, random, codes);
}

/// bf16 is the upper half of f32: half a unit, or just less of it below an even code, carries into
/// it, and beyond the largest number into the code of infinity. The policy names only the codes of
/// NaN.
void EncodeBf16(Policy policy, const float* x, std::size_t count, std::uint16_t* codes) {
  const DU du;
  const std::size_t lanes = hn::Lanes(du);
  const float nan = std::bit_cast<float>(0x7FC00000u);
  const VU positive = hn::Set(du, numerics::encode(nan, FormatId::bf16, policy));
  const VU negative = hn::Set(du, numerics::encode(-nan, FormatId::bf16, policy));
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const VU bits = hn::BitCast(du, hn::LoadU(DF(), x + i));
    const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const VU code = hn::ShiftRight<16>(hn::Add(bits, hn::Add(hn::Set(du, 0x7FFFu), odd)));
    const VU magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
    const VU nans = hn::IfThenElse(hn::Gt(bits, magnitude), negative, positive);
    const auto is_nan = hn::Gt(magnitude, hn::Set(du, 0x7F800000u));
    StoreCodes(du, hn::IfThenElse(is_nan, nans, code), codes + i);
  }
  for (; i < count; ++i)
    codes[i] = static_cast<std::uint16_t>(numerics::encode(x[i], FormatId::bf16, policy));
}

void Encode16(const Format& f, Policy policy, const float* x, std::size_t count,
              const std::uint32_t* random, std::uint16_t* codes) {
  if (f.id == FormatId::bf16 && policy.rounding == Rounding::nearest_even &&
      policy.overflow == Overflow::infinity)
    return EncodeBf16(policy, x, count, codes);
  EncodeAny(f, policy, x, count, random, codes);
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {

HWY_EXPORT(Encode8);
HWY_EXPORT(Encode16);

/// Runs body(first, words) over chunks small enough for the random words to stay in cache.
template <typename Body>
void for_chunks(std::size_t count, const Policy& policy, RandomStream random, Body body) {
  if (policy.rounding != Rounding::stochastic) return body(std::size_t{0}, count, nullptr);
  std::array<std::uint32_t, 2048> words;
  for (std::size_t first = 0; first < count; first += words.size()) {
    const std::size_t size = std::min(words.size(), count - first);
    RandomStream here = random;
    here.first += first;
    fill_random(here, std::span(words).first(size));
    body(first, size, words.data());
  }
}

template <typename Code, typename Kernel>
void encode_array(std::span<const float> x, std::span<Code> codes, FormatId id, Policy policy,
                  RandomStream random, Kernel kernel) {
  check_sizes("array conversion", x.size(), codes.size());
  const Format& f = format(id);
  if (f.bits > static_cast<int>(8 * sizeof(Code))) {
    throw Error(ErrorKind::internal, "array conversion",
                std::string(f.name) + " codes do not fit the array's elements");
  }
  for_chunks(x.size(), policy, random,
             [&](std::size_t first, std::size_t size, const std::uint32_t* words) {
               const bool integers = f.kind == Kind::integer && sizeof(Code) == 1 &&
                                     policy.rounding == Rounding::nearest_even;
               if (f.kind == Kind::floating || integers) {
                 kernel(f, policy, x.data() + first, size, words, codes.data() + first);
                 return;
               }
               for (std::size_t i = 0; i < size; ++i) {
                 codes[first + i] =
                     static_cast<Code>(encode(x[first + i], id, policy, words ? words[i] : 0));
               }
             });
}

}  // namespace

void encode(std::span<const float> x, std::span<std::uint8_t> codes, FormatId id, Policy policy,
            RandomStream random) {
  check_sizes("array conversion", x.size(), codes.size());
  const std::size_t done =
      encode_bytes(format(id), policy, x.data(), x.size(), random, codes.data());
  if (done > 0 && done == x.size()) return;  // what follows begins with five single values
  random.first += done;
  encode_array(x.subspan(done), codes.subspan(done), id, policy, random,
               HWY_DYNAMIC_DISPATCH(Encode8));
}

void encode(std::span<const float> x, std::span<std::uint16_t> codes, FormatId id, Policy policy,
            RandomStream random) {
  encode_array(x, codes, id, policy, random, HWY_DYNAMIC_DISPATCH(Encode16));
}

void encode_e4m3(std::span<const float> x, std::span<std::uint8_t> codes, Policy policy,
                 RandomStream random) {
  encode(x, codes, FormatId::e4m3, policy, random);
}

void round_to_bf16(std::span<const float> x, std::span<std::uint16_t> codes) {
  encode(x, codes, FormatId::bf16, {.overflow = Overflow::infinity});
}

void round_to_f16(std::span<const float> x, std::span<std::uint16_t> codes) {
  encode(x, codes, FormatId::f16, {.overflow = Overflow::infinity});
}

void fill_random(RandomStream random, std::span<std::uint32_t> words) {
  std::size_t i = 0;
  while (i < words.size()) {
    const std::uint64_t index = random.first + i;
    if (index % 4 == 0) {
      const std::size_t done =
          philox_blocks(random, index / 4, (words.size() - i) / 4, words.data() + i);
      i += 4 * done;
      if (done > 0) continue;
    }
    const auto block = philox_block(random.seed, random.stream, index / 4);
    for (std::uint64_t word = index % 4; word < 4 && i < words.size(); ++word, ++i) {
      words[i] = block[word];
    }
  }
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
