// What a row's finish takes from its launch, and the logarithm of its sum.
#include "karat/attention/operations/finish.hpp"

#include <limits>
#include <numbers>

#include "karat/numerics/functions/exp2.hpp"

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
  for (std::size_t j = 0; j < factors.size(); ++j) {
    const float s_v = launch.v_scaled_per_block ? 1.0f : launch.head.v.scale(0, j);
    factors[j] = launch.fp32.divide(s_v, multiplier);
  }
  return factors;
}

float log_sum_exp(const Launch& launch, std::int64_t position, float m, float l) {
  double log2_sum = launch.in_log2(m, launch.pair_factor(position, 0));
  log2_sum += numerics::log2_f64(l);
  log2_sum -= launch.offset;
  const auto& lost = launch.head.smoothed.q_dot_k_mean;
  if (!lost.empty()) log2_sum += lost[position] * score_scale(launch.channels);
  return static_cast<float>(
      launch.recipe.softmax.lse == recipe::Lse::log2 ? log2_sum : log2_sum * std::numbers::ln2);
}

}  // namespace karat::attention
