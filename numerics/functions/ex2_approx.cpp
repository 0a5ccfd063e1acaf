// The fixed-point interpolator behind ex2.approx.ftz.f32.
// All integer arithmetic; exponents come from the integer part of x.
#include "karat/numerics/functions/ex2_approx.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/arithmetic/flush.hpp"

namespace karat::numerics {
namespace {

constexpr int kFractionBits = 23;
constexpr int kOffsetBits = 17;

/// floor(x * 2^23) for |x| < 256.
std::int64_t to_fixed(float x) {
  return static_cast<std::int64_t>(std::floor(static_cast<double>(x) * 0x1p23));
}

Ex2Table fit() {
  // Bits below the binary point of the sum; 28 of them remain for c1 and c2 before t is applied.
  constexpr int kScale = 45;
  Ex2Table table{.coefficients = {},
                 .square_shift = 0,
                 .c0_shift = 0,
                 .c2_shift = kOffsetBits,
                 .constant = std::int64_t{1} << (kScale - kFractionBits - 1),
                 .sum_shift = kScale - kFractionBits};
  const auto scaled = [](double x, int bits) {
    return static_cast<std::int64_t>(std::floor(std::ldexp(x, bits) + 0.5));
  };
  for (int i = 0; i < 64; ++i) {
    const double y0 = exp2_f64(i / 64.0), y1 = exp2_f64((i + 0.5) / 64.0);
    const double y2 = exp2_f64((i + 1) / 64.0);
    const double c1 = 4 * y1 - 3 * y0 - y2, c2 = 2 * y0 + 2 * y2 - 4 * y1;
    table.coefficients[static_cast<std::size_t>(i)] = {
        scaled(y0, kScale), scaled(c1, kScale - kOffsetBits), scaled(c2, kScale - kOffsetBits)};
  }
  return table;
}

}  // namespace

float ex2_approx_ftz(float x, const Ex2Table& table) {
  if (x != x) return std::bit_cast<float>(0x7FFFFFFFu);
  if (x >= 128) return std::bit_cast<float>(0x7F800000u);
  if (x < -126) return 0;
  const std::int64_t fixed = to_fixed(flush_subnormal(x));
  const std::int64_t fraction = fixed & ((1 << kFractionBits) - 1);
  const std::int64_t exponent = fixed >> kFractionBits;
  const Ex2Coefficients& c = table.coefficients[static_cast<std::size_t>(fraction >> kOffsetBits)];
  const std::int64_t t = fraction & ((1 << kOffsetBits) - 1);
  const std::int64_t square = (t * t) >> table.square_shift;
  const std::int64_t sum =
      (c.c0 << table.c0_shift) + c.c1 * t + ((c.c2 * square) >> table.c2_shift) + table.constant;
  const auto significand = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(sum >> table.sum_shift, 1 << 23, (1 << 24) - 1));
  return std::bit_cast<float>((static_cast<std::uint32_t>(exponent + 127) << 23) |
                              (significand & 0x7FFFFF));
}

const Ex2Table& fitted_ex2_table() {
  static const Ex2Table table = fit();
  return table;
}

}  // namespace karat::numerics
