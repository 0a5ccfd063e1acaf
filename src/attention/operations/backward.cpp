// Constants of a backward, and its exponents of 2.
#include "karat/attention/operations/backward.hpp"

#include <cmath>
#include <numbers>

#include "karat/numerics/functions/exp2.hpp"

namespace karat::attention {

BackwardKernel::BackwardKernel(const recipe::Recipe& r, std::size_t d, double score_factor)
    : Kernel(r, d, score_factor),
      backward(r.backward),
      s(numerics::instruction(
          r.backward.scores == recipe::BackwardScores::forward ? r.qk.instruction : r.backward.s)),
      dp(numerics::instruction(r.backward.dp)),
      dv(numerics::instruction(r.backward.dv)),
      dq(numerics::instruction(r.backward.dq)),
      dk(numerics::instruction(r.backward.dk)),
      root(static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)))) {
  if (r.finish.multiplier != 1) o_scale = fp32.divide(1.0f, r.finish.multiplier);
}

float log2_of(const BackwardKernel& kernel, float lse) {
  if (kernel.recipe.softmax.lse == recipe::Lse::log2) return lse;
  return kernel.fp32.multiply(lse, std::numbers::log2e_v<float>);
}

float of_smoothed(const BackwardKernel& kernel, float l, double q_dot_k_mean) {
  const auto lost = static_cast<float>(q_dot_k_mean * score_scale(kernel.channels));
  return kernel.fp32.add(l, -lost);
}

float backward_score(const BackwardKernel& kernel, float a, float s_q, float s_k) {
  const numerics::Fp32& fp = kernel.fp32;
  if (!kernel.forward_scores()) return fp.multiply(a, fp.multiply(fp.multiply(s_q, s_k), kernel.c));
  return kernel.in_log2(score(kernel, a, s_q, s_k), kernel.factor(s_q, s_k));
}

float backward_exponent(const BackwardKernel& kernel, float a, float s_q, float s_k, float l) {
  const numerics::Fp32& fp = kernel.fp32;
  if (kernel.backward.exponent == recipe::PExponent::separate)
    return fp.add(backward_score(kernel, a, s_q, s_k), -l);
  const float scale = fp.multiply(s_q, s_k);
  if (kernel.forward_scores() &&
      kernel.recipe.qk.scale_order == recipe::ScaleOrder::scaled_then_fused)
    return fp.fused(fp.multiply(a, scale), kernel.c, -l);
  return fp.fused(a, fp.multiply(scale, kernel.c), -l);
}

float backward_probability(const BackwardKernel& kernel, float x) {
  if (kernel.recipe.softmax.exp2 == recipe::Exp2::exact)
    return kernel.fp32.round(power<double>(kernel, x));
  return power<float>(kernel, x);
}

void backward_probabilities(const BackwardKernel& kernel, std::span<const float> x,
                            std::span<float> p) {
  if (kernel.recipe.softmax.exp2 != recipe::Exp2::exact) return powers(kernel, x, p);
  for (std::size_t n = 0; n < x.size(); ++n) p[n] = backward_probability(kernel, x[n]);
}

}  // namespace karat::attention
