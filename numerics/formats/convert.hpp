// Conversions between f32 and the small formats, one value or whole arrays at a time.
// How overflow, NaN and ties are treated is a policy: plain data, with presets by name.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/formats/rounding.hpp"

namespace karat::numerics {

/// Where Inf goes, and a finite value that rounds beyond the largest finite code. A rounding
/// direction that points back to zero never overflows: there the largest finite code is the
/// correctly rounded result (IEEE 754-2019, 7.4). Formats without NaN always saturate.
enum class Overflow {
  saturate,  ///< largest finite code, for Inf too
  nan,       ///< NaN
  infinity,  ///< Inf, or NaN in a format without Inf
};
enum class NanSign { keep, drop };
/// Which of several NaN codes is written; of no effect in E4M3 and E8M0, which have one per sign.
enum class NanPayload {
  all_ones,  ///< every magnitude bit set (NVIDIA: 0x7F, 0x7FFF)
  quiet,     ///< Inf with the top fraction bit set (0x7E, 0x7E00)
};

/// Where a value half-way between two powers of two goes under nearest_even; of effect in E8M0
/// alone.
enum class PowerTies {
  even,  ///< the even code: 3 becomes 2, 6 becomes 8
  up,    ///< the larger power: 3 becomes 4, 6 becomes 8
};

/// How a value becomes a code.
struct Policy {
  Rounding rounding = Rounding::nearest_even;
  Overflow overflow = Overflow::saturate;
  NanSign nan_sign = NanSign::drop;
  NanPayload nan_payload = NanPayload::all_ones;
  PowerTies power_ties = PowerTies::even;

  bool operator==(const Policy&) const = default;
};

/// For values that a format holds: stored and compared as computed, Inf and the sign of NaN kept.
inline constexpr Policy kAsComputed{.overflow = Overflow::infinity, .nan_sign = NanSign::keep};

struct NamedPolicy {
  std::string_view name;
  Policy policy;
  std::string_view note;  ///< whose convention, in one sentence
};

/// nvidia_satfinite, nvidia_nosat, torch, torch_2_12, ml_dtypes, onnx_saturate, ocp_mx.
std::span<const NamedPolicy> policies();
/// @throws Error(usage) for an unknown name, suggesting the nearest.
const Policy& policy(std::string_view name);

/// Where stochastic rounding takes its bits from: element i of an array uses
/// random_bits(seed, stream, first + i) of philox.hpp.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
  std::uint64_t first = 0;
};

/// Code of x in `format`, low bits first. Exact; the scalar truth that every array path must equal.
/// A value below half the smallest step becomes a zero of its sign. Special cases by kind:
/// E2M1 takes NaN to its largest positive value; integers take NaN to 0; E8M0 takes values below
/// 2^-127 and zeros to 2^-127 and negative values to NaN (ties: see PowerTies).
/// @param random  32 random bits, used by Rounding::stochastic alone
std::uint32_t encode(float x, FormatId format, Policy policy = {}, std::uint32_t random = 0);
/// Exact value of a code (INT32 beyond 2^24: nearest even); NaN codes become 0x7FC00000.
float decode(std::uint32_t code, FormatId format);

/// The same for an f64, rounded once, and the exact value of every code, INT32 included.
std::uint32_t encode_f64(double x, FormatId format, Policy policy = {}, std::uint32_t random = 0);
double decode_f64(std::uint32_t code, FormatId format);

/// Arrays; sizes must agree. Highway inside, the same bits as encode()/decode().
/// The generic forms take any format of at most 8 (16) bits.
void encode(std::span<const float> x, std::span<std::uint8_t> codes, FormatId format,
            Policy policy = {}, RandomStream random = {});
void encode(std::span<const float> x, std::span<std::uint16_t> codes, FormatId format,
            Policy policy = {}, RandomStream random = {});
void decode(std::span<const std::uint8_t> codes, std::span<float> x, FormatId format);
void decode(std::span<const std::uint16_t> codes, std::span<float> x, FormatId format);

void encode_e4m3(std::span<const float> x, std::span<std::uint8_t> codes, Policy policy = {},
                 RandomStream random = {});
void decode_e4m3(std::span<const std::uint8_t> codes, std::span<float> x);
/// Nearest even, overflow to Inf, NaN to 0x7FFF.
void round_to_bf16(std::span<const float> x, std::span<std::uint16_t> codes);
void round_to_f16(std::span<const float> x, std::span<std::uint16_t> codes);
void widen_bf16(std::span<const std::uint16_t> codes, std::span<float> x);
void widen_f16(std::span<const std::uint16_t> codes, std::span<float> x);

/// Words `first`, `first` + 1, ... of a Philox stream, the same as random_bits() one by one.
void fill_random(RandomStream random, std::span<std::uint32_t> words);

}  // namespace karat::numerics
