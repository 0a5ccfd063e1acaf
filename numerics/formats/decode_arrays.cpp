// Arrays of codes to f32 with Highway. Decoding is exact: all lanes are integers but for one exact
// difference.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/formats/decode_arrays.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <string>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/sizes.hpp"
#include "karat/numerics/formats/convert.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<DF>;
using VU = hn::Vec<DU>;

void WidenBf16(const std::uint16_t* codes, std::size_t count, float* x) {
  const DU du;
  const hn::Rebind<std::uint16_t, DU> d16;
  const std::size_t lanes = hn::Lanes(du);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const VU bits = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, codes + i)));
    const auto nan = hn::Gt(hn::And(bits, hn::Set(du, 0x7FFFFFFFu)), hn::Set(du, 0x7F800000u));
    const VU result = hn::IfThenElse(nan, hn::Set(du, 0x7FC00000u), bits);
    hn::StoreU(hn::BitCast(DF(), result), DF(), x + i);
  }
  for (; i < count; ++i) x[i] = numerics::decode(codes[i], FormatId::bf16);
}

/// Codes below the sign as a float: the format's exponent field over f32's, rebiased. Subnormal
/// codes have no implicit one, so they get it and lose it again.
template <int kFractionBits, int kBias>
HWY_INLINE VU DecodeMagnitude(DU du, VU magnitude) {
  const DF df;
  const VU shifted = hn::ShiftLeft<23 - kFractionBits>(magnitude);
  const VU normal = hn::Add(shifted, hn::Set(du, std::uint32_t{127 - kBias} << 23));
  const VU least = hn::Set(du, std::uint32_t{128 - kBias} << 23);  // the smallest normal number
  const auto subnormal = hn::Sub(hn::BitCast(df, hn::Add(shifted, least)), hn::BitCast(df, least));
  return hn::IfThenElse(hn::Gt(least, normal), hn::BitCast(du, subnormal), normal);
}

template <FormatId kId, typename Code>
void DecodeCodes(const Code* codes, std::size_t count, float* x) {
  const DU du;
  const hn::Rebind<Code, DU> narrow;
  constexpr Format f = format(kId);
  constexpr bool kInfinity = f.specials == Specials::infinity_and_nan;
  // The largest magnitude that is no NaN.
  const VU last = hn::Set(du, kInfinity ? f.infinity() : f.max_finite());
  const std::size_t lanes = hn::Lanes(du);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const VU code = hn::PromoteTo(du, hn::LoadU(narrow, codes + i));
    const VU magnitude = hn::And(code, hn::Set(du, f.magnitude_mask()));
    const VU sign = hn::ShiftLeft<32 - f.bits>(hn::And(code, hn::Set(du, f.sign_mask())));
    VU bits = DecodeMagnitude<f.fraction_bits, f.bias>(du, magnitude);
    if constexpr (kInfinity)
      bits = hn::IfThenElse(hn::Eq(magnitude, last), hn::Set(du, 0x7F800000u), bits);
    bits = hn::IfThenElse(hn::Gt(magnitude, last), hn::Set(du, 0x7FC00000u), hn::Or(bits, sign));
    hn::StoreU(hn::BitCast(DF(), bits), DF(), x + i);
  }
  for (; i < count; ++i) x[i] = numerics::decode(codes[i], kId);
}

void DecodeF16(const std::uint16_t* codes, std::size_t count, float* x) {
  DecodeCodes<FormatId::f16>(codes, count, x);
}
void DecodeE4m3(const std::uint8_t* codes, std::size_t count, float* x) {
  DecodeCodes<FormatId::e4m3>(codes, count, x);
}
void DecodeE5m2(const std::uint8_t* codes, std::size_t count, float* x) {
  DecodeCodes<FormatId::e5m2>(codes, count, x);
}

void DecodeE2m1(const std::uint8_t* codes, std::size_t count, float* x) {
  DecodeCodes<FormatId::e2m1>(codes, count, x);
}
void DecodeInt8(const std::uint8_t* codes, std::size_t count, float* x) {
  const DF df;
  const hn::RebindToSigned<DF> wide;
  const hn::Rebind<std::int8_t, DF> narrow;
  const std::size_t lanes = hn::Lanes(df);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto values = hn::LoadU(narrow, reinterpret_cast<const std::int8_t*>(codes + i));
    hn::StoreU(hn::ConvertTo(df, hn::PromoteTo(wide, values)), df, x + i);
  }
  for (; i < count; ++i) x[i] = static_cast<float>(static_cast<std::int8_t>(codes[i]));
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {

HWY_EXPORT(WidenBf16);
HWY_EXPORT(DecodeF16);
HWY_EXPORT(DecodeE4m3);
HWY_EXPORT(DecodeE5m2);
HWY_EXPORT(DecodeE2m1);
HWY_EXPORT(DecodeInt8);

template <typename Code>
void decode_array(std::span<const Code> codes, std::span<float> x, FormatId id) {
  check_sizes("array conversion", codes.size(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = decode(codes[i], id);
}

}  // namespace

void decode(std::span<const std::uint8_t> codes, std::span<float> x, FormatId id) {
  if (id == FormatId::e4m3) return decode_e4m3(codes, x);
  check_sizes("array conversion", codes.size(), x.size());
  switch (id) {
    case FormatId::e5m2:
      return HWY_DYNAMIC_DISPATCH(DecodeE5m2)(codes.data(), x.size(), x.data());
    case FormatId::e2m1:
      return HWY_DYNAMIC_DISPATCH(DecodeE2m1)(codes.data(), x.size(), x.data());
    case FormatId::int8:
      return HWY_DYNAMIC_DISPATCH(DecodeInt8)(codes.data(), x.size(), x.data());
    default:
      decode_array(codes, x, id);
  }
}

void decode(std::span<const std::uint16_t> codes, std::span<float> x, FormatId id) {
  if (id == FormatId::bf16) return widen_bf16(codes, x);
  if (id == FormatId::f16) return widen_f16(codes, x);
  decode_array(codes, x, id);
}

void decode_e4m3(std::span<const std::uint8_t> codes, std::span<float> x) {
  check_sizes("array conversion", codes.size(), x.size());
  HWY_DYNAMIC_DISPATCH(DecodeE4m3)(codes.data(), x.size(), x.data());
}

void widen_bf16(std::span<const std::uint16_t> codes, std::span<float> x) {
  check_sizes("array conversion", codes.size(), x.size());
  HWY_DYNAMIC_DISPATCH(WidenBf16)(codes.data(), x.size(), x.data());
}

void widen_f16(std::span<const std::uint16_t> codes, std::span<float> x) {
  check_sizes("array conversion", codes.size(), x.size());
  HWY_DYNAMIC_DISPATCH(DecodeF16)(codes.data(), x.size(), x.data());
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
