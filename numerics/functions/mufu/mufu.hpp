// NVIDIA's special-function unit (MUFU) bit for bit: ex2, rcp, rsqrt and lg2 in the
// `.approx.ftz.f32` forms of PTX. The leading bits of the argument's significand pick a segment;
// three integers of the segment, the remaining bits and their truncated square give the result in
// fixed point.
//
// Source: coefficient tables published by envytools, read from a G80 (2006); see tables/NOTICE.md.
// What speaks for them on today's GPUs, and what is open, is stated in docs/evidence.md:
//   rcp, rsqrt  strongly supported: nine accuracy counts printed on A100, L40, L40S and H100
//   ex2         supported: words printed by a GB200; open: the cut of negative arguments
//   lg2         open: no word of a present GPU was compared
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace karat::numerics {

enum class Mufu { ex2, rcp, rsqrt, lg2 };

/// What becomes of bits below 2^-23 of a negative argument of ex2. Both readings agree for x >= 0
/// and for |x| >= 1. Open: no published word decides.
enum class FixedPointCut { toward_zero, toward_minus_infinity };
inline constexpr FixedPointCut kDefaultCut = FixedPointCut::toward_zero;

/// @return "ex2.approx.ftz.f32" and so on, PTX's names
std::string_view mufu_name(Mufu function);
/// @throws Error(usage) naming the nearest name
Mufu mufu_function(std::string_view name);

/// 2^x. Error below 1.40 ulp for x >= 0; below 2.06 ulp for x < 0, 3.29 ulp where negative arguments
/// are cut toward -Inf (tests/numerics/mufu_test.cpp). Subnormal x counts as zero; +-0 -> 1;
/// x >= 128 -> +Inf, x <= -128 -> +0, results below 2^-126 -> +0; NaN -> 0x7FFFFFFF.
float ex2_approx_ftz(float x, FixedPointCut cut = kDefaultCut);
/// 1/x, within 1 ulp. Subnormal x counts as a zero of its sign; +-0 -> +-Inf, +-Inf -> +-0; results
/// below 2^-126 -> +-0; NaN -> 0x7FFFFFFF.
float rcp_approx_ftz(float x);
/// 1/sqrt(x), within 2 ulp; exact for powers of 4. +-0 and subnormals -> +-Inf, +Inf -> +0,
/// x < 0 and NaN -> 0x7FFFFFFF.
float rsqrt_approx_ftz(float x);
/// log2(x), absolute error below 2^-22 for x in (1/2, 2). lg2(1) = +0; +-0 and subnormals -> -Inf,
/// +Inf -> +Inf, x < 0 and NaN -> 0x7FFFFFFF.
float lg2_approx_ftz(float x);

/// Arrays of equal sizes, in place allowed; the same bits as the scalar functions.
/// @throws Error(internal) when sizes differ
void ex2_approx_ftz(std::span<const float> x, std::span<float> y, FixedPointCut cut = kDefaultCut);
void rcp_approx_ftz(std::span<const float> x, std::span<float> y);

/// Any of the functions; `cut` matters to ex2 alone.
float mufu(Mufu function, float x, FixedPointCut cut = kDefaultCut);
void mufu(Mufu function, std::span<const float> x, std::span<float> y,
          FixedPointCut cut = kDefaultCut);

/// How one value is made.
struct MufuSteps {
  bool tabulated = false;  ///< false: a special or exact value, and the fields below are 0
  unsigned segment = 0;    ///< row of the table
  std::int64_t c0 = 0, c1 = 0, c2 = 0;
  std::uint32_t offset = 0;  ///< the argument's bits below those of the segment
  std::int64_t square = 0;   ///< what the squarer gives for it
  std::int64_t sum = 0;      ///< coefficients, offset, square and rounding constant together
  std::int64_t significand =
      0;             ///< sum shifted: units of 2^-23 (ex2), 2^-24 (rcp, rsqrt), 2^-36 (lg2)
  int exponent = 0;  ///< power of two that multiplies it; lg2: what is added to it
  float result = 0;
};
MufuSteps mufu_steps(Mufu function, float x, FixedPointCut cut = kDefaultCut);

}  // namespace karat::numerics
