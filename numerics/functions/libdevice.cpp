// The instructions of the compiled function, one line each.
#include "karat/numerics/functions/libdevice.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace karat::numerics {
namespace {

/// Bits of sqrt(1/2): from there to its double a number counts as t.
constexpr std::uint32_t kLowestSignificand = 0x3F3504F3;
constexpr std::uint32_t kLeading = 0x3DC6B27F, kLog2E = 0x3FB8AA3B;
constexpr std::uint32_t kCoefficients[] = {0xBE2C7F30, 0x3E2FCF2A, 0xBE374E43,
                                           0x3E520BF4, 0xBE763C8B, 0x3E93BF99,
                                           0xBEB8AA49, 0x3EF6384A, 0xBF38AA3B};

}  // namespace

float libdevice_log2f(float x) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const bool subnormal = x < 0x1p-126f;
  if (subnormal) x *= 0x1p23f;
  if (x == 0) return -kInf;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (bits >= std::bit_cast<std::uint32_t>(kInf)) return std::fma(x, kInf, kInf);
  const std::uint32_t exponent = (bits - kLowestSignificand) & 0xFF800000u;
  const float whole = std::fma(static_cast<float>(static_cast<std::int32_t>(exponent)), 0x1p-23f,
                               subnormal ? -23.0f : 0.0f);
  const float t = std::bit_cast<float>(bits - exponent) - 1;
  float y = std::bit_cast<float>(kLeading);
  for (const std::uint32_t coefficient : kCoefficients)
    y = std::fma(y, t, std::bit_cast<float>(coefficient));
  return whole + std::fma(t, std::bit_cast<float>(kLog2E), t * (t * y));
}

}  // namespace karat::numerics
