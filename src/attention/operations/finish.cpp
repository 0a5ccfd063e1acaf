// What a row's finish takes from its launch, and the logarithm of its sum.
#include "karat/attention/operations/finish.hpp"

#include <limits>
#include <numbers>

#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/functions/libdevice.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "karat/numerics/functions/mufu/scaling.hpp"

namespace karat::attention {

numerics::FormatId output_format(const recipe::Recipe& recipe) {
  return recipe.finish.cast == recipe::Cast::before_scale ? numerics::FormatId::bf16
                                                          : recipe.output;
}

float output_without_keys(const recipe::Recipe& recipe) {
  return recipe.finish.fully_masked == recipe::FullyMasked::nan
             ? std::numeric_limits<float>::quiet_NaN()
             : 0.0f;
}

std::vector<float> output_factors(const Launch& launch, float multiplier) {
  std::vector<float> factors(launch.channels);
  const bool divided = launch.recipe.finish.divisor == recipe::Divisor::multiplied;
  for (std::size_t j = 0; j < factors.size(); ++j) {
    const float s_v = launch.v_scaled_per_block ? 1.0f : launch.head.v.scale(0, j);
    factors[j] = launch.fp32.divide(s_v, divided ? 1.0f : multiplier);
  }
  return factors;
}

std::vector<float> branch_terms(const Launch& launch, std::span<const float> branch,
                                std::int32_t token) {
  if (branch.empty()) return {};
  const float* row = &branch[static_cast<std::size_t>(token) * launch.channels];
  std::vector<float> terms(row, row + launch.channels);
  for (float& x : terms) x = launch.fp32.multiply(launch.recipe.branch.weight, x);
  return terms;
}

float divisor(const Kernel& kernel, float l) {
  return kernel.recipe.finish.divisor == recipe::Divisor::multiplied
             ? kernel.fp32.multiply(l, kernel.multiplier)
             : l;
}

float division_scale(const Kernel& kernel, float divisor) {
  return kernel.recipe.finish.reciprocal == recipe::Reciprocal::div_full
             ? numerics::reciprocal_scale(divisor)
             : 1.0f;
}

float reciprocal(const Kernel& kernel, float divisor) {
  switch (kernel.recipe.finish.reciprocal) {
    case recipe::Reciprocal::mufu:
      return numerics::rcp_approx_ftz(divisor);
    case recipe::Reciprocal::div_full:
      return numerics::rcp_approx_ftz(
          kernel.fp32.multiply(divisor, division_scale(kernel, divisor)));
    case recipe::Reciprocal::rounded:
      break;
  }
  return kernel.fp32.divide(1.0f, divisor);
}

float whole_reciprocal(const Kernel& kernel, float divisor) {
  return kernel.fp32.multiply(reciprocal(kernel, divisor), division_scale(kernel, divisor));
}

namespace {

/// What smoothing took out of k adds to the log-sum-exp of a row, in log2 units.
double lost_to_smoothing(const Launch& launch, std::int64_t position) {
  const auto& lost = launch.head.smoothed.q_dot_k_mean;
  return lost.empty() ? 0.0 : lost[position] * score_scale(launch.channels);
}

float log2_in_f32(const Launch& launch, float l) {
  return launch.recipe.finish.logarithm == recipe::Logarithm::libdevice
             ? numerics::libdevice_log2f(l)
             : numerics::lg2_approx_ftz(l);
}

float log_sum_exp_in_f32(const Launch& launch, std::int64_t position, float m, float l) {
  const numerics::Fp32& fp = launch.fp32;
  const bool natural = launch.recipe.softmax.lse == recipe::Lse::natural;
  const float unit = natural ? std::numbers::ln2_v<float> : 1.0f;
  float maximum = launch.in_log2(m, launch.pair_factor(position, 0));
  if (launch.offset != 0) maximum = fp.add(maximum, -launch.offset);
  const float sum = fp.add(fp.multiply(maximum, unit), fp.multiply(log2_in_f32(launch, l), unit));
  const double lost = lost_to_smoothing(launch, position);
  if (lost == 0) return sum;
  return fp.add(sum, fp.multiply(static_cast<float>(lost), unit));
}

}  // namespace

float log_sum_exp(const Launch& launch, std::int64_t position, float m, float l) {
  if (launch.recipe.finish.logarithm != recipe::Logarithm::exact)
    return log_sum_exp_in_f32(launch, position, m, l);
  double log2_sum = launch.in_log2(m, launch.pair_factor(position, 0));
  log2_sum += numerics::log2_f64(l);
  log2_sum -= launch.offset;
  log2_sum += lost_to_smoothing(launch, position);
  return static_cast<float>(
      launch.recipe.softmax.lse == recipe::Lse::log2 ? log2_sum : log2_sum * std::numbers::ln2);
}

}  // namespace karat::attention
