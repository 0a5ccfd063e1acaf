// amax -> scale -> what x is divided or multiplied by, in the order of arithmetic that docs/recipes
// states.
#include <algorithm>
#include <cmath>

#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/quant/quantise.hpp"

namespace karat::quant {
namespace {

using numerics::flush_subnormal;
using numerics::FormatId;

float code_limit(const Rule& rule) {
  return rule.limit > 0 ? rule.limit : largest_finite(rule.format);
}

float guarded(float amax, const Rule& rule) {
  if (rule.guard == Guard::floor_1e_7) return std::max(amax, 1e-7f);
  if (rule.guard == Guard::floor_1e_4) return std::max(amax, 1e-4f);
  return amax;
}

float rounded(float x, FormatId format) {
  return numerics::decode(numerics::encode(x, format, cast_policy(format)), format);
}

/// 2^floor(log2 x) of a positive number.
float power_below(float x) { return std::ldexp(1.0f, std::ilogb(x)); }

/// The scale before guard `one` and the scale format. 0 where it is too small for FP32.
float scale_before_rounding(float amax, const Rule& rule) {
  const float limit = code_limit(rule);
  amax = guarded(amax, rule);
  switch (rule.scale_rule) {
    case ScaleRule::divide:
      return flush_subnormal(amax / limit);
    case ScaleRule::multiply:
      return flush_subnormal(amax * flush_subnormal(1.0f / limit));
    case ScaleRule::given:
      return flush_subnormal(1.0f / rule.multiplier);
    case ScaleRule::exponent:
      break;
  }
  if (amax == 0.0f || std::isinf(amax)) return amax;
  return flush_subnormal(power_below(amax) / power_below(limit));
}

float to_scale_format(float s, ScaleFormat format) {
  switch (format) {
    case ScaleFormat::f32:
      return s;
    case ScaleFormat::bf16:
      return rounded(s, FormatId::bf16);
    case ScaleFormat::e4m3:
      return rounded(s, FormatId::e4m3);
    case ScaleFormat::ue8m0_up:
    case ScaleFormat::ue8m0_nearest:
    case ScaleFormat::ue8m0_floor:
      break;
  }
  int exponent;
  const float fraction =
      std::frexp(s, &exponent);  // s = fraction * 2^exponent, fraction in [0.5, 1)
  exponent -= 1;                 // s in [2^exponent, 2^(exponent+1))
  const float significand = 2 * fraction;
  if (format == ScaleFormat::ue8m0_up && significand > 1.0f) ++exponent;
  if (format == ScaleFormat::ue8m0_nearest && significand >= 1.5f) ++exponent;
  return std::ldexp(1.0f, std::clamp(exponent, -127, 127));
}

}  // namespace

float scale_of(float amax, const Rule& rule) {
  float s = scale_before_rounding(amax, rule);
  if (rule.scale_rule == ScaleRule::given) return s;
  if (rule.guard == Guard::add_1e_7) s = flush_subnormal(s + 1e-7f);
  if (s == 0.0f) return 1.0f;
  s = to_scale_format(s, rule.scale);
  return s == 0.0f ? 1.0f : s;  // too small for E4M3
}

CodeStep code_step(float amax, float scale, const Rule& rule) {
  if (rule.scale_rule == ScaleRule::given) return {false, rule.multiplier};
  switch (rule.code_rule) {
    case CodeRule::divide:
      return {true, scale};
    case CodeRule::reciprocal:
      return {false, flush_subnormal(1.0f / scale)};
    case CodeRule::inverse_scale:
      break;
  }
  // The factor of a group whose scale became 1 is that of the scale.
  if (scale_before_rounding(amax, rule) == 0.0f) return {false, 1.0f};
  return {false, flush_subnormal(code_limit(rule) / guarded(amax, rule))};
}

}  // namespace karat::quant
