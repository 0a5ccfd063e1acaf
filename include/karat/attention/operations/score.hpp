// From raw accumulators to exponents of 2: the score, the running maximum, the skip test, and the
// arguments of exp2 for alpha and P.
#pragma once

#include <limits>
#include <span>

#include "karat/attention/operations/kernel.hpp"

namespace karat::attention {

/// s of one pair from its raw accumulator, log2 units (not yet times f where the exponent is
/// fused): fl(a*fl(fl(s_q*s_k)*c)), or as qk.scale_order and qk.score_scale have it.
float score(const Kernel& kernel, float a, float s_q, float s_k);

/// m' from the old maximum and the block's: the old one stays while fl(m' - m), in log2 units, is
/// at most the threshold of lazy rescaling. A maximum of zero is +0, whichever zero came first.
float next_maximum(const Kernel& kernel, float m, float block_maximum, float f);

/// Skip::block_maximum: the largest fl(block maximum - m) over the rows of a visit.
class SkipTest {
 public:
  SkipTest(const Kernel& kernel, std::size_t visit)
      : kernel_(kernel),
        active_(visit > 0 && kernel.recipe.skip.rule == recipe::SkipRule::block_maximum) {}
  void row(float m_before, float block_maximum, float f);
  /// Never on the first visit.
  bool skips() const {
    return active_ && kernel_.fp32.add(largest_, kernel_.recipe.skip.threshold) <= 0;
  }

 private:
  const Kernel& kernel_;
  bool active_;
  float largest_ = -std::numeric_limits<float>::infinity();
};

/// The past is multiplied by 2 to this power when the maximum goes from m to `next`: fl(m - next)
/// in log2 units; 0 while no key has been seen.
float alpha_exponent(const Kernel& kernel, float m, float next, float f);

/// x = what P is 2 to the power of, for one row's scores under maximum m: fl(s - fl(m - offset)),
/// or fma(s, f, -fl(fl(m*f) - offset)) where the exponent is fused. While no key has been seen,
/// scores are -Inf and so is x; NaN stays NaN.
void p_exponents(const Kernel& kernel, std::span<const float> s, float m, float f,
                 std::span<float> x);

}  // namespace karat::attention
