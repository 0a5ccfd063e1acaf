// Exponentials and the cast of P.
#include "karat/attention/operations/probability.hpp"

#include <algorithm>

#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/formats/round_to_odd.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"

namespace karat::attention {

namespace {

/// Of a recipe whose exp2 is one of mufu's.
numerics::FixedPointCut cut_of(recipe::Exp2 exp2) {
  return exp2 == recipe::Exp2::mufu_floor ? numerics::FixedPointCut::toward_minus_infinity
                                          : numerics::FixedPointCut::toward_zero;
}

}  // namespace

template <>
float power<float>(const Kernel& kernel, float x) {
  const recipe::Exp2 exp2 = kernel.recipe.softmax.exp2;
  return is_mufu(exp2) ? numerics::ex2_approx_ftz(x, cut_of(exp2))
                       : numerics::exp2_rounded(x, kernel.recipe.subnormals);
}
template <>
double power<double>(const Kernel&, float x) {
  return numerics::exp2_f64(x);
}

void powers(const Kernel& kernel, std::span<const float> x, std::span<float> p) {
  const recipe::Exp2 exp2 = kernel.recipe.softmax.exp2;
  if (is_mufu(exp2))
    numerics::ex2_approx_ftz(x, p, cut_of(exp2));
  else
    numerics::exp2_rounded(x, p, kernel.recipe.subnormals);
}

float cast_operand(const Kernel& kernel, double p) {
  const double product = p * kernel.multiplier;
  return kernel.recipe.p.format == numerics::FormatId::f32 || kernel.p_grouped
             ? static_cast<float>(product)
             : numerics::round_to_odd(product);
}

namespace {

/// The row's keys in groups with scales of their own.
CastRow cast_groups(const Kernel& kernel, std::span<float> operands, numerics::Path path,
                    std::span<std::uint8_t> codes) {
  const auto row = numerics::row_major<const float>(operands.data(), 1, operands.size());
  const quant::Grouping groups = groups_of_keys(kernel.p_rule, operands.size());
  const auto beyond = quant::saturates(row, kernel.p_rule, groups);
  const quant::Quantised x = quant::quantise(row, kernel.p_rule, groups, path);
  std::copy(x.values.begin(), x.values.end(), operands.begin());
  if (!codes.empty()) std::copy(x.codes.begin(), x.codes.end(), codes.begin());
  return {.saturated = std::count(beyond.begin(), beyond.end(), 1),
          .scale = x.scales.empty() ? 1.0f : x.scales.front()};
}

float to_bf16(float p) {
  const auto format = numerics::FormatId::bf16;
  return numerics::decode(numerics::encode(p, format, quant::cast_policy(format)), format);
}

}  // namespace

quant::Grouping groups_of_keys(const quant::Rule& rule, std::size_t keys) {
  if (rule.group != quant::Group::channels_16) return {};
  return {.row_part = {},
          .row_parts = 1,
          .channels = static_cast<std::int32_t>((keys + 15) / 16),
          .width = 16};
}

float bf16_term(float p) { return to_bf16(p); }
float bf16_term(double p) { return to_bf16(numerics::round_to_odd(p)); }

CastRow cast_p(const Kernel& kernel, std::span<float> operands, numerics::Path path,
               std::span<std::uint8_t> codes) {
  if (kernel.p_grouped) return cast_groups(kernel, operands, path, codes);
  const recipe::P& p = kernel.recipe.p;
  std::int64_t saturated = 0;
  if (quant::has_scale(p.format))
    saturated = std::count_if(operands.begin(), operands.end(),
                              [&](float x) { return x > kernel.largest_p; });
  cast(operands, p.format, {.rounding = p.rounding, .overflow = p.overflow}, path, codes);
  return {.saturated = saturated};
}

}  // namespace karat::attention
