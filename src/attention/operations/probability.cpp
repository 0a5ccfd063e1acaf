// Exponentials and the cast of P.
#include "karat/attention/operations/probability.hpp"

#include <algorithm>

#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/formats/round_to_odd.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::attention {

template <>
float power<float>(const Kernel& kernel, float x) {
  return numerics::exp2_rounded(x, kernel.recipe.subnormals);
}
template <>
double power<double>(const Kernel&, float x) {
  return numerics::exp2_f64(x);
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
  cast(operands, p.format, quant::cast_policy(p.format, p.rounding, p.overflow), path, codes);
  return saturated;
}

}  // namespace karat::attention
