// Scores, maxima and exponents, in f32 operations of one rounding each.
#include "karat/attention/operations/score.hpp"

namespace karat::attention {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace

float score(const Kernel& kernel, float a, float s_q, float s_k) {
  const numerics::Fp32& fp = kernel.fp32;
  if (!kernel.scores_scaled) return fp.multiply(a, kernel.c);
  switch (kernel.recipe.qk.scale_order) {
    case recipe::ScaleOrder::product_first:
    case recipe::ScaleOrder::folded_into_q:
      return fp.multiply(a, fp.multiply(fp.multiply(s_q, s_k), kernel.c));
    case recipe::ScaleOrder::sequential:
      return fp.multiply(fp.multiply(fp.multiply(a, s_q), s_k), kernel.c);
    case recipe::ScaleOrder::scaled_then_fused:
      return fp.multiply(a, fp.multiply(s_q, s_k));
    case recipe::ScaleOrder::fused:
      break;
  }
  return a;
}

float next_maximum(const Kernel& kernel, float m, float block_maximum, float f) {
  const float candidate = block_maximum > m ? block_maximum : m;
  const float rise = kernel.in_log2(kernel.fp32.add(candidate, -m), f);
  return (rise <= kernel.recipe.softmax.rescale_threshold ? m : candidate) + 0.0f;
}

void SkipTest::row(float m_before, float block_maximum, float f) {
  if (block_maximum == -kInf) return;
  const float gain =
      kernel_.fp32.add(kernel_.in_log2(block_maximum, f), -kernel_.in_log2(m_before, f));
  largest_ = gain > largest_ ? gain : largest_;
}

float alpha_exponent(const Kernel& kernel, float m, float next, float f) {
  return next == -kInf ? 0.0f : kernel.in_log2(kernel.fp32.add(m, -next), f);
}

void p_exponents(const Kernel& kernel, std::span<const float> s, float m, float f,
                 std::span<float> x) {
  const numerics::Fp32& fp = kernel.fp32;
  const float reference = m == -kInf ? 0.0f : fp.add(kernel.in_log2(m, f), -kernel.offset);
  if (!kernel.fused) {
    for (std::size_t n = 0; n < s.size(); ++n) x[n] = fp.add(s[n], -reference);
    return;
  }
  for (std::size_t n = 0; n < s.size(); ++n)
    x[n] = s[n] == -kInf ? -kInf : fp.fused(s[n], f, -reference);
}

}  // namespace karat::attention
