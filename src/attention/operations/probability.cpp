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

float cast_operand(const Kernel& kernel, float p) {
  return kernel.fp32.multiply(p, kernel.multiplier);
}
float cast_operand(const Kernel& kernel, double p) {
  const double product = p * kernel.multiplier;
  return kernel.recipe.p.format == numerics::FormatId::f32 ? static_cast<float>(product)
                                                           : numerics::round_to_odd(product);
}

std::int64_t cast_p(const Kernel& kernel, std::span<float> operands, numerics::Path path,
                    std::span<std::uint8_t> codes) {
  const recipe::P& p = kernel.recipe.p;
  std::int64_t saturated = 0;
  if (quant::has_scale(p.format))
    saturated = std::count_if(operands.begin(), operands.end(),
                              [&](float x) { return x > kernel.largest_p; });
  cast(operands, p.format, {.rounding = p.rounding, .overflow = p.overflow}, path, codes);
  return saturated;
}

}  // namespace karat::attention
