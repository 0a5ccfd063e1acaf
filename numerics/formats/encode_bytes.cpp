// f32 to E4M3, E5M2 and INT8 in few operations: normal results round in the integer bits of the
// float, subnormal ones, and integers, beside a constant whose unit is the format's smallest step.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/formats/encode_bytes.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <limits>

#include "karat/numerics/formats/encode_bytes.hpp"
#include "karat/numerics/random/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

std::size_t EncodeBytes(const Format&, const Policy&, const float*, std::size_t, RandomStream,
                        std::uint8_t*) {
  return 0;
}
std::size_t PhiloxBlocks(RandomStream, std::uint64_t, std::size_t, std::uint32_t*) { return 0; }

#else

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DW = hn::RepartitionToWide<DU>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
using VW = hn::Vec<DW>;

/// Philox4x32-10 with one block per 64-bit lane. A counter word is the low half of its lane; the
/// upper half holds leftovers, which the widening multiplication does not read.
class PhiloxVectors {
 public:
  /// Starts at block number `block`.
  PhiloxVectors(RandomStream random, std::uint64_t block) : random_(random) {
    const DW d;
    // Even lanes take the first half of the blocks, odd lanes the second, so that next() only
    // interleaves neighbours.
    const VW lane = hn::Iota(d, 0);
    const VW half = hn::Set(d, hn::Lanes(d) / 2);
    const VW odd = hn::And(lane, hn::Set(d, 1));
    counter_ = hn::Add(hn::Set(d, block),
                       hn::Add(hn::ShiftRight<1>(lane), hn::And(hn::Sub(hn::Zero(d), odd), half)));
  }

  /// The next words in order: as many blocks as a vector has 64-bit lanes, in two vectors.
  HWY_INLINE void next(VU& first, VU& second) {
    const DW d;
    const DU du;
    const auto low = [&](std::uint64_t word) { return hn::Set(d, word & 0xFFFFFFFF); };
    const VU multiplier0 = hn::Set(du, kPhiloxMultiplier[0]);
    const VU multiplier1 = hn::Set(du, kPhiloxMultiplier[1]);
    VW c0 = counter_, c1 = hn::ShiftRight<32>(counter_);
    VW c2 = low(random_.stream), c3 = low(random_.stream >> 32);
    auto key0 = static_cast<std::uint32_t>(random_.seed);
    auto key1 = static_cast<std::uint32_t>(random_.seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const VW p0 = hn::MulEven(hn::BitCast(du, c0), multiplier0);
      const VW p1 = hn::MulEven(hn::BitCast(du, c2), multiplier1);
      c0 = hn::Xor3(hn::ShiftRight<32>(p1), c1, low(key0));
      c1 = p1;
      c2 = hn::Xor3(hn::ShiftRight<32>(p0), c3, low(key1));
      c3 = p0;
      key0 += kPhiloxWeyl[0];
      key1 += kPhiloxWeyl[1];
    }
    const auto pair = [&](VW even, VW odd) {
      return hn::BitCast(
          d, hn::OddEven(hn::BitCast(du, hn::ShiftLeft<32>(odd)), hn::BitCast(du, even)));
    };
    const VW w01 = pair(c0, c1), w23 = pair(c2, c3);
    first = hn::BitCast(du, hn::InterleaveLower(d, w01, w23));
    second = hn::BitCast(du, hn::InterleaveUpper(d, w01, w23));
    counter_ = hn::Add(counter_, hn::Set(d, hn::Lanes(d)));
  }

 private:
  RandomStream random_;
  VW counter_;
};

std::size_t PhiloxBlocks(RandomStream random, std::uint64_t block, std::size_t blocks,
                         std::uint32_t* words) {
  const DU du;
  const std::size_t step = hn::Lanes(DW());
  PhiloxVectors stream(random, block);
  std::size_t done = 0;
  for (; done + step <= blocks; done += step) {
    VU first, second;
    stream.next(first, second);
    hn::StoreU(first, du, words + 4 * done);
    hn::StoreU(second, du, words + 4 * done + hn::Lanes(du));
  }
  return done;
}

/// The rounding of one format. All lanes are below 2^31, so signed comparisons order them.
template <FormatId kId>
class Encoder {
 public:
  explicit Encoder(const Policy& policy) {
    const DI di;
    const auto code_of = [&](float x) {
      return static_cast<std::int32_t>(numerics::encode(x, kId, policy));
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    over_ = hn::Set(di, code_of(std::numeric_limits<float>::max()));
    const std::int32_t of_nan = code_of(nan);
    nan_ = hn::Set(di, of_nan);
    nan_sign_ = hn::Set(di, of_nan ^ code_of(-nan));
  }

  /// @pre the processor rounds to nearest even, as it does unless told otherwise
  HWY_INLINE VI nearest_even(VI bits) const {
    const DI di;
    const DF df;
    const VI magnitude = Magnitude(bits);
    const VI odd = hn::And(hn::ShiftRight<kShift>(magnitude), hn::Set(di, 1));
    const VI normal = hn::ShiftRight<kShift>(
        hn::Add(hn::Add(magnitude, hn::Set(di, (1 << (kShift - 1)) - 1 - kRebias)), odd));
    const VF beside = hn::Set(df, std::bit_cast<float>(kUnitBits));
    const VF sum = hn::Add(hn::BitCast(df, magnitude), beside);
    const VI subnormal = hn::Sub(hn::BitCast(di, sum), hn::Set(di, kUnitBits));
    return Finish(bits, magnitude, Choose(magnitude, normal, subnormal));
  }

  HWY_INLINE VI stochastic(VI bits, VU random) const {
    const DI di;
    const DU du;
    const VI magnitude = Magnitude(bits);
    const VI chance = hn::BitCast(di, hn::ShiftRight<32 - kShift>(random));
    const VI normal =
        hn::ShiftRight<kShift>(hn::Add(hn::Add(magnitude, hn::Set(di, -kRebias)), chance));
    // Few arrays hold many subnormal results, so a vector without any skips their longer way.
    if (hn::AllFalse(di, hn::Lt(magnitude, hn::Set(di, kMinNormal)))) {
      return Finish(bits, magnitude, normal);
    }
    // Below the normal range the unit lies `shift` bits above the significand's last one; beyond 31
    // of them the significand is cut, as rounds_away() says.
    const VU limit = hn::Set(du, 31u);
    const VU unsigned_magnitude = hn::BitCast(du, magnitude);
    const VU shift = hn::Sub(hn::Set(du, static_cast<std::uint32_t>((kMinNormal >> 23) + kShift)),
                             hn::ShiftRight<23>(unsigned_magnitude));
    const VU significand =
        hn::Or(hn::And(unsigned_magnitude, hn::Set(du, 0x7FFFFFu)), hn::Set(du, 0x800000u));
    const VU excess = hn::Min(hn::Sub(hn::Max(shift, limit), limit), limit);
    const VU kept = hn::Min(shift, limit);
    const VU addend = hn::Shr(hn::ShiftRight<1>(random), hn::Sub(limit, kept));
    const VU subnormal = hn::Shr(hn::Add(hn::Shr(significand, excess), addend), kept);
    return Finish(bits, magnitude, Choose(magnitude, normal, hn::BitCast(di, subnormal)));
  }

 private:
  static constexpr Format kFormat = format(kId);
  static constexpr int kShift = 23 - kFormat.fraction_bits;
  static constexpr std::int32_t kRebias = (127 - kFormat.bias) << 23;
  static constexpr std::int32_t kMinNormal = (127 + kFormat.min_exponent()) << 23;
  /// The f32 whose last bit is worth the format's smallest step.
  static constexpr std::int32_t kUnitBits =
      (127 + kFormat.min_exponent() - kFormat.fraction_bits + 23) << 23;

  static HWY_INLINE VI Magnitude(VI bits) { return hn::And(bits, hn::Set(DI(), 0x7FFFFFFF)); }

  static HWY_INLINE VI Choose(VI magnitude, VI normal, VI subnormal) {
    return hn::IfThenElse(hn::Lt(magnitude, hn::Set(DI(), kMinNormal)), subnormal, normal);
  }

  /// Gives overflow, NaN and the sign their codes.
  HWY_INLINE VI Finish(VI bits, VI magnitude, VI code) const {
    const DI di;
    const VI finite = hn::IfThenElse(
        hn::Gt(code, hn::Set(di, static_cast<std::int32_t>(kFormat.max_finite()))), over_, code);
    const VI sign = hn::ShiftRight<24>(bits);  // only the low byte is stored
    const VI sign_mask = hn::Set(di, static_cast<std::int32_t>(kFormat.sign_mask()));
    const VI result = hn::OrAnd(finite, sign, sign_mask);
    const VI nan = hn::OrAnd(nan_, sign, nan_sign_);
    return hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7F800000)), nan, result);
  }

  VI over_, nan_, nan_sign_;
};

/// How far ahead of its use the input is asked for: half a page, so that the next page's address is
/// known before its first element is needed. Measured from 1 to 8 KiB on arrays of 1 GiB.
constexpr std::size_t kAhead = 512;

/// The bits of x[i] and on; asks for what comes later.
HWY_INLINE VI LoadBits(const float* x, std::size_t i, std::size_t count) {
  hwy::Prefetch(x + std::min(i + kAhead, count));
  return hn::BitCast(DI(), hn::LoadU(DF(), x + i));
}

HWY_INLINE void StoreBytes(VI codes, std::uint8_t* out) {
  hn::StoreU(hn::U8FromU32(hn::BitCast(DU(), codes)), hn::Rebind<std::uint8_t, DU>(), out);
}

template <FormatId kId>
std::size_t Nearest(const Policy& policy, const float* x, std::size_t count, std::uint8_t* codes) {
  const Encoder<kId> encoder(policy);
  const std::size_t lanes = hn::Lanes(DF());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    StoreBytes(encoder.nearest_even(LoadBits(x, i, count)), codes + i);
  }
  return i;
}

/// @pre random.first is a multiple of four
template <FormatId kId>
std::size_t Stochastic(const Policy& policy, const float* x, std::size_t count, RandomStream random,
                       std::uint8_t* codes) {
  const Encoder<kId> encoder(policy);
  const std::size_t lanes = hn::Lanes(DF());
  PhiloxVectors stream(random, random.first / 4);
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    VU first, second;
    stream.next(first, second);
    StoreBytes(encoder.stochastic(LoadBits(x, i, count), first), codes + i);
    StoreBytes(encoder.stochastic(LoadBits(x, i + lanes, count), second), codes + i + lanes);
  }
  return i;
}

template <FormatId kId>
std::size_t EncodeBytesOf(const Policy& policy, const float* x, std::size_t count,
                          RandomStream random, std::uint8_t* codes) {
  if (policy.rounding == Rounding::nearest_even) return Nearest<kId>(policy, x, count, codes);
  if (policy.rounding != Rounding::stochastic) return 0;
  std::size_t done = 0;
  for (; random.first % 4 != 0 && done < count; ++done, ++random.first) {
    codes[done] = static_cast<std::uint8_t>(numerics::encode(
        x[done], kId, policy, random_bits(random.seed, random.stream, random.first)));
  }
  return done + Stochastic<kId>(policy, x + done, count - done, random, codes + done);
}

/// INT8 codes; NaN gives 0.
/// @pre the processor rounds to nearest even, as it does unless told otherwise
template <Rounding kRounding>
std::size_t Integers(const float* x, std::size_t count, std::uint8_t* codes) {
  const DF d;
  const DI di;
  constexpr std::int32_t kBesideBits = 0x4B400000;  // 1.5 * 2^23, whose unit is 1
  const VF beside = hn::Set(d, std::bit_cast<float>(kBesideBits)), one = hn::Set(d, 1.0f);
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const VF in = hn::BitCast(d, LoadBits(x, i, count));
    const VF number = hn::IfThenElseZero(hn::Eq(in, in), in);
    const VF bounded = hn::Min(hn::Max(number, hn::Set(d, -128.0f)), hn::Set(d, 127.0f));
    VF rounded = bounded;
    if constexpr (kRounding == Rounding::nearest_away) {
      // What is cut away decides; adding 1/2 would round.
      const VF size = hn::Abs(bounded), whole = hn::ConvertTo(d, hn::ConvertTo(di, size));
      const auto up = hn::Ge(hn::Sub(size, whole), hn::Set(d, 0.5f));
      rounded = hn::CopySign(hn::Add(whole, hn::IfThenElseZero(up, one)), bounded);
    }
    const VI sum = hn::BitCast(di, hn::Add(rounded, beside));
    StoreBytes(hn::And(hn::Sub(sum, hn::Set(di, kBesideBits)), hn::Set(di, 0xFF)), codes + i);
  }
  return i;
}

std::size_t EncodeBytes(const Format& format, const Policy& policy, const float* x,
                        std::size_t count, RandomStream random, std::uint8_t* codes) {
  switch (format.id) {
    case FormatId::int8:
      if (policy.rounding == Rounding::nearest_even)
        return Integers<Rounding::nearest_even>(x, count, codes);
      if (policy.rounding == Rounding::nearest_away)
        return Integers<Rounding::nearest_away>(x, count, codes);
      return 0;
    case FormatId::e4m3:
      return EncodeBytesOf<FormatId::e4m3>(policy, x, count, random, codes);
    case FormatId::e5m2:
      return EncodeBytesOf<FormatId::e5m2>(policy, x, count, random, codes);
    default:
      return 0;
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {

HWY_EXPORT(EncodeBytes);
HWY_EXPORT(PhiloxBlocks);

std::size_t encode_bytes(const Format& format, const Policy& policy, const float* x,
                         std::size_t count, RandomStream random, std::uint8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(EncodeBytes)(format, policy, x, count, random, codes);
}

std::size_t philox_blocks(RandomStream random, std::uint64_t block, std::size_t blocks,
                          std::uint32_t* words) {
  return HWY_DYNAMIC_DISPATCH(PhiloxBlocks)(random, block, blocks, words);
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
