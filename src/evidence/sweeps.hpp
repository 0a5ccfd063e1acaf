// Private: functions of one f32, swept over all bit patterns in blocks of 2^20.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comparison.hpp"
#include "karat/evidence/inputs.hpp"

namespace karat::evidence {

inline constexpr std::string_view kConversion = "cvt.rn.satfinite.e4m3x2.f32";
inline constexpr std::string_view kConversionF16 = "cvt.rn.satfinite.e4m3x2.f16x2";
inline constexpr std::string_view kEx2 = "ex2.approx.ftz.f32";
inline constexpr std::string_view kRcp = "rcp.approx.ftz.f32";

/// Results for the inputs first, first + 1, ... (bit patterns).
using Sweep = std::function<void(std::uint32_t first, std::span<std::uint32_t> results)>;

/// Nothing when the emulator cannot say: the instruction is unknown or its table absent.
std::optional<Sweep> sweep_model(const std::string& instruction,
                                 const std::optional<QuadraticTable>& ex2,
                                 const std::optional<QuadraticTable>& rcp);

struct SweptBlock {
  std::uint64_t hash = 0;
  std::uint32_t samples[kSamples] = {};
};
SweptBlock sweep_block(const Sweep& sweep, std::uint32_t block);

/// Codes of all f16, as the conversion instruction writes them.
std::vector<std::uint8_t> f16_conversions();

}  // namespace karat::evidence
