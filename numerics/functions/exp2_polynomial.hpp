// Private: the numbers behind exp2 and log2, with what they approximate and how well.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace karat::numerics {

/// (2^f - 1) / f on [-1/2, 1/2] in ascending powers of f: Chebyshev interpolation in 300-bit
/// arithmetic, error below 2^-62 before the coefficients were rounded to f64.
inline constexpr double kExp2[] = {
    0x1.62e42fefa39efp-1,  0x1.ebfbdff82c58fp-3,  0x1.c6b08d704a0c6p-5,  0x1.3b2ab6fba4e79p-7,
    0x1.5d87fe78a3f9cp-10, 0x1.430912f86b7dbp-13, 0x1.ffcbfc6da6ed1p-17, 0x1.62c02242b879cp-20,
    0x1.b524ebd13a55fp-24, 0x1.e4cf10dec0f59p-28, 0x1.e9ec1fcb69a7fp-32, 0x1.c4a29324a1038p-36};

/// Adding and subtracting this leaves the nearest integer (ties to even) of |x| < 2^51, and the sum
/// holds that integer in its low bits.
inline constexpr double kRoundShift = 0x1.8p52;

/// The two f32 whose 2^x lies so close above the middle of two f32 (2^-57.6 and 2^-54.9 relative)
/// that its nearest f64 is that middle, which then ties to the wrong side. Found by trying all.
struct HardCase {
  float x, power;
};
inline constexpr HardCase kHardExp2[] = {{0x1.853a6ep-9f, 0x1.00870ap+0f},
                                         {-0x1.e7526ep-6f, 0x1.f58d62p-1f}};

/// The f32 path: x = j/32 + f, 2^x = 2^(j/32) * (1 + f * (kSlope + f * q(f))) for |f| <= 1/64.
inline constexpr int kStepBits = 5;
inline constexpr std::size_t kSteps = 1 << kStepBits;
/// Adding and subtracting this leaves the nearest multiple of 1/kSteps, and the sum holds j.
inline constexpr float kStepShift = 0x1.8p18f;
/// Chebyshev interpolation of (2^f - 1) / f by a cubic, error of 2^f below 2^-42.5; 2^-42.0 with
/// the slope as a sum of two f32 and q, in ascending powers of f, in f32.
inline constexpr float kSlopeHigh = 0x1.62e430p-1f, kSlopeLow = -0x1.07239ap-29f;
inline constexpr float kExp2Cubic[] = {0x1.ebfbe0p-3f, 0x1.c6b13cp-5f, 0x1.3b2b08p-7f};

/// 2^(j/32), 0 <= j < 32.
inline constexpr double kPowers[kSteps] = {
    0x1.0000000000000p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0,
    0x1.172b83c7d517bp+0, 0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0,
    0x1.306fe0a31b715p+0, 0x1.371a7373aa9cbp+0, 0x1.3dea64c123422p+0, 0x1.44e086061892dp+0,
    0x1.4bfdad5362a27p+0, 0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0, 0x1.6247eb03a5585p+0,
    0x1.6a09e667f3bcdp+0, 0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0,
    0x1.8ace5422aa0dbp+0, 0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0,
    0x1.ae89f995ad3adp+0, 0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0,
    0x1.d5818dcfba487p+0, 0x1.dfc97337b9b5fp+0, 0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0};

/// One f32 for each step, in the two forms in which vectors look it up.
struct StepValues {
  alignas(64) std::array<float, kSteps> plain;
  /// The bits of number j are the XOR of the entries j mod 8 of four quarters: of the first, of the
  /// second if j has bit 3, of the third if it has bit 4, of the fourth if it has both.
  alignas(64) std::array<std::int32_t, kSteps> differences;
};
constexpr StepValues step_values(const std::array<float, kSteps>& plain) {
  StepValues values{plain, {}};
  for (std::size_t j = 0; j < kSteps; ++j) {
    for (std::size_t part = 0; part < kSteps; part += 8) {
      if (((j & 24) | part) == (j & 24)) {
        values.differences[j] ^= std::bit_cast<std::int32_t>(plain[j % 8 + part]);
      }
    }
  }
  return values;
}

/// scale * 2^(j/32): the nearest f32, and the f32 nearest to the rest.
constexpr std::array<float, kSteps> step_high(double scale) {
  std::array<float, kSteps> high{};
  for (std::size_t j = 0; j < kSteps; ++j) high[j] = static_cast<float>(scale * kPowers[j]);
  return high;
}
constexpr std::array<float, kSteps> step_low(double scale) {
  std::array<float, kSteps> low = step_high(scale);
  for (std::size_t j = 0; j < kSteps; ++j) {
    low[j] = static_cast<float>(scale * kPowers[j] - double{low[j]});
  }
  return low;
}
inline constexpr double kSlope = double{kSlopeHigh} + double{kSlopeLow};
inline constexpr StepValues kStepHigh = step_values(step_high(1)),
                            kStepLow = step_values(step_low(1));
inline constexpr StepValues kStepSlopeHigh = step_values(step_high(kSlope)),
                            kStepSlopeLow = step_values(step_low(kSlope));

/// More than the error of the f32 path where 2^(j/32) is in [1, 2); derived in exp2.cpp.
inline constexpr float kStepError = 0x1.2p-35f;

/// For tests: how many elements of x the f32 path of `exp2_rounded` leaves to the f64 path.
std::size_t exp2_undecided(std::span<const float> x);

}  // namespace karat::numerics
