// Conversions between f32 and the small formats, one value or whole arrays at a time.
#pragma once

#include <cstdint>
#include <span>

#include "karat/numerics/format.hpp"

namespace karat::numerics {

enum class Rounding { nearest_even, toward_zero, up, down, nearest_away, stochastic };
enum class Overflow { saturate, nan, infinity };
enum class NanSign { keep, drop };

/// How a value becomes a code. Named presets (nvidia_satfinite, torch, ...) are in policy tables.
struct Policy {
  Rounding rounding = Rounding::nearest_even;
  Overflow overflow = Overflow::saturate;
  NanSign nan_sign = NanSign::drop;
};

/// Code of x in `format`, low bits first. Exact; the scalar truth that every array path must equal.
std::uint32_t encode(float x, FormatId format, Policy policy = {});
/// Exact value of a code; NaN codes become a quiet NaN.
float decode(std::uint32_t code, FormatId format);

/// Arrays; sizes must agree. Highway inside, the same bits as encode()/decode().
void encode_e4m3(std::span<const float> x, std::span<std::uint8_t> codes, Policy policy = {});
void decode_e4m3(std::span<const std::uint8_t> codes, std::span<float> x);
void round_to_bf16(std::span<const float> x, std::span<std::uint16_t> codes);
void widen_bf16(std::span<const std::uint16_t> codes, std::span<float> x);
void round_to_f16(std::span<const float> x, std::span<std::uint16_t> codes);
void widen_f16(std::span<const std::uint16_t> codes, std::span<float> x);

}  // namespace karat::numerics
