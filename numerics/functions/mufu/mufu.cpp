// The functions value by value, as the formulas of mufu.hpp and tables.hpp say.
#include "karat/numerics/functions/mufu/mufu.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/base/choice.hpp"
#include "karat/numerics/base/sizes.hpp"
#include "karat/numerics/functions/mufu/tables.hpp"

namespace karat::numerics {
namespace {

constexpr Named<Mufu> kFunctions[] = {{"ex2.approx.ftz.f32", Mufu::ex2},
                                      {"rcp.approx.ftz.f32", Mufu::rcp},
                                      {"rsqrt.approx.ftz.f32", Mufu::rsqrt},
                                      {"lg2.approx.ftz.f32", Mufu::lg2}};

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::uint32_t kHiddenBit = 1u << 23, kFraction = kHiddenBit - 1, kSign = 0x80000000u;

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }
float nan() { return std::bit_cast<float>(0x7FFFFFFFu); }

MufuSteps special(float result) { return {.result = result}; }

/// The table's part: `argument` holds the segment's bits above offset_bits others.
MufuSteps look_up(Mufu function, std::uint32_t argument, int exponent) {
  const auto& [widths, rows] = mufu_table(function);
  MufuSteps steps{.tabulated = true,
                  .segment = argument >> widths.offset_bits,
                  .offset = argument & ((1u << widths.offset_bits) - 1),
                  .exponent = exponent};
  const MufuRow& row = rows[steps.segment];
  steps.c0 = row.c0;
  steps.c1 = row.c1;
  steps.c2 = row.c2;
  steps.square = mufu_square(steps.offset << widths.square_shift);
  steps.sum = steps.c0 * (1 << widths.c0_shift) + steps.c1 * steps.offset +
              steps.c2 * steps.square * (1 << widths.c2_shift) + widths.constant;
  steps.significand = steps.sum >> widths.sum_shift;
  return steps;
}

/// A significand in [2^23, 2^24] as a float of the biased exponent that 2^23 has. A carry raises
/// it; what stays below 2^-126 is +0.
float assemble(std::int64_t significand, int biased_exponent) {
  const std::int64_t bits = std::int64_t{biased_exponent} * kHiddenBit + significand - kHiddenBit;
  return bits < kHiddenBit ? 0 : std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}

MufuSteps ex2_steps(float x, FixedPointCut cut) {
  if (x != x) return special(nan());
  if (x >= 128) return special(kInfinity);
  if (x <= -128) return special(0);
  const float scaled = std::fabs(x) * 0x1p23f;  // exact, and below 2^30
  auto fixed = static_cast<std::int32_t>(scaled);
  const bool cut_away = static_cast<float>(fixed) != scaled;
  if (x < 0 && cut_away && cut == FixedPointCut::toward_minus_infinity) ++fixed;
  if (x < 0) fixed = (fixed & kFraction) ? ~fixed : -fixed;
  const int whole = fixed >> 23;
  MufuSteps steps = look_up(Mufu::ex2, static_cast<std::uint32_t>(fixed) & kFraction, whole - 23);
  steps.result = assemble(steps.significand, whole + 127);
  return steps;
}

MufuSteps rcp_steps(float x) {
  const std::uint32_t sign = bits_of(x) & kSign;
  const auto signed_ = [&](float y) { return std::bit_cast<float>(bits_of(y) | sign); };
  const auto biased = static_cast<int>((bits_of(x) >> 23) & 0xFF);
  if (x != x) return special(nan());
  if (biased == 0) return special(signed_(kInfinity));
  if (biased == 0xFF) return special(signed_(0));
  MufuSteps steps = look_up(Mufu::rcp, bits_of(x) & kFraction, 127 - biased - 24);
  steps.result = signed_(assemble(steps.significand, 2 * 127 - biased - 1));
  return steps;
}

MufuSteps rsqrt_steps(float x) {
  const std::uint32_t bits = bits_of(x), fraction = bits & kFraction;
  const auto biased = static_cast<int>((bits >> 23) & 0xFF);
  if (x != x) return special(nan());
  if (biased == 0) return special(std::bit_cast<float>(bits_of(kInfinity) | (bits & kSign)));
  if (bits & kSign) return special(nan());
  if (biased == 0xFF) return special(0);
  const int exponent = biased - 127;
  const int half = exponent >> 1;
  const bool odd = exponent & 1;
  if (!odd && fraction == 0) return special(assemble(kHiddenBit, 127 - half));
  MufuSteps steps = look_up(Mufu::rsqrt, fraction | (odd ? kHiddenBit : 0), -half - 24);
  steps.result = assemble(steps.significand, 127 - half - 1);
  return steps;
}

MufuSteps lg2_steps(float x) {
  const std::uint32_t bits = bits_of(x);
  const auto biased = static_cast<int>((bits >> 23) & 0xFF);
  if (x != x) return special(nan());
  if (biased == 0) return special(-kInfinity);
  if (bits & kSign) return special(nan());
  if (biased == 0xFF) return special(kInfinity);
  if (x == 1) return special(0);
  MufuSteps steps = look_up(Mufu::lg2, bits & kFraction, biased - 127);
  const std::int64_t total = steps.significand + (std::int64_t{steps.exponent} << 36);
  steps.result = flush_subnormal(static_cast<float>(total) * 0x1p-36f);
  return steps;
}

}  // namespace

std::string_view mufu_name(Mufu function) {
  for (const auto& row : kFunctions) {
    if (row.value == function) return row.name;
  }
  return {};
}

Mufu mufu_function(std::string_view name) { return parse_choice(name, "function", kFunctions); }

MufuSteps mufu_steps(Mufu function, float x, FixedPointCut cut) {
  switch (function) {
    case Mufu::ex2:
      return ex2_steps(x, cut);
    case Mufu::rcp:
      return rcp_steps(x);
    case Mufu::rsqrt:
      return rsqrt_steps(x);
    case Mufu::lg2:
      break;
  }
  return lg2_steps(x);
}

float mufu(Mufu function, float x, FixedPointCut cut) {
  return mufu_steps(function, x, cut).result;
}
float ex2_approx_ftz(float x, FixedPointCut cut) { return ex2_steps(x, cut).result; }
float rcp_approx_ftz(float x) { return rcp_steps(x).result; }
float rsqrt_approx_ftz(float x) { return rsqrt_steps(x).result; }
float lg2_approx_ftz(float x) { return lg2_steps(x).result; }

void mufu(Mufu function, std::span<const float> x, std::span<float> y, FixedPointCut cut) {
  if (function == Mufu::ex2) return ex2_approx_ftz(x, y, cut);
  if (function == Mufu::rcp) return rcp_approx_ftz(x, y);
  check_sizes("mufu", x.size(), y.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = mufu(function, x[i], cut);
}

}  // namespace karat::numerics
