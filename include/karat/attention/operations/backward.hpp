// The backward's element operations in their order: L, x, P, delta, dS. docs/recipes/backward.md.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/score.hpp"

namespace karat::attention {

/// Constants of a recipe's backward, beside its forward's. References the recipe.
struct BackwardKernel : Kernel {
  BackwardKernel(const recipe::Recipe& recipe, std::size_t channels, double score_factor = 1.0);

  const recipe::Backward& backward;
  const numerics::Instruction& s;  ///< qk.instruction where scores are the forward's
  const numerics::Instruction& dp;
  const numerics::Instruction& dv;
  const numerics::Instruction& dq;
  const numerics::Instruction& dk;
  float root;                    ///< a = f32(d^-1/2)
  std::optional<float> o_scale;  ///< fl(1/finish.multiplier); nothing where that is 1

  bool forward_scores() const { return backward.scores == recipe::BackwardScores::forward; }
  bool scales_ds() const { return backward.softmax_scale == recipe::SoftmaxScale::ds; }
  recipe::Promote promote_dq() const {
    return backward.loop == recipe::BackwardLoop::key_blocks ? recipe::Promote::block
                                                             : backward.promote;
  }
};

/// L of a row, log2 units: lse, or fl(lse * f32(log2 e)) where softmax.lse is natural.
float log2_of(const BackwardKernel& kernel, float lse);

/// L of the scores that smoothing left: fl(l - f32((q . mean of k) d^-1/2 log2 e)).
float of_smoothed(const BackwardKernel& kernel, float l, double q_dot_k_mean);

/// s of one pair from its raw accumulator, log2 units: the forward's score, times its factor where
/// its exponent is fused; scores operands: fl(a*fl(fl(s_q*s_k)*c)).
float backward_score(const BackwardKernel& kernel, float a, float s_q, float s_k);

/// What P is 2 to the power of: fl(s - L), or fma(a, f, -L) where backward.exponent is fused.
float backward_exponent(const BackwardKernel& kernel, float a, float s_q, float s_k, float l);

/// 2^x as softmax.exp2 has it, in f32; fl(2^x) where it is exact.
float backward_probability(const BackwardKernel& kernel, float x);
/// Arrays of equal sizes, in place allowed: the same bits.
void backward_probabilities(const BackwardKernel& kernel, std::span<const float> x,
                            std::span<float> p);

inline float negated(float x) { return -x; }
inline numerics::Interval negated(numerics::Interval x) { return {-x.high, -x.low}; }

/// The sum of the products of a row of o and one of dO, in an order, before the scale of dO.
/// @param o  V: float or numerics::Interval
template <typename V>
V sum_of_products(const numerics::Fp32& fp, recipe::DeltaSum order, std::span<const V> o,
                  std::span<const float> d_o) {
  // The sign goes over to o, since a factor of intervals is not negative.
  const auto left = [&](std::size_t j) { return std::signbit(d_o[j]) ? negated(o[j]) : o[j]; };
  const auto right = [&](std::size_t j) { return V(std::abs(d_o[j])); };
  if (order == recipe::DeltaSum::pairwise) {
    std::vector<V> level(std::bit_ceil(o.size()), V(0.0f));
    for (std::size_t j = 0; j < o.size(); ++j) level[j] = fp.multiply(left(j), right(j));
    for (std::size_t size = level.size(); size > 1; size /= 2)
      for (std::size_t j = 0; j < size / 2; ++j) level[j] = fp.add(level[2 * j], level[2 * j + 1]);
    return level[0];
  }
  const bool fused = order == recipe::DeltaSum::fused;
  V sum(0.0f);
  for (std::size_t j = 0; j < o.size(); ++j)
    sum = fused ? fp.fused(left(j), right(j), sum) : fp.add(sum, fp.multiply(left(j), right(j)));
  return sum;
}
template <typename V>
V sum_of_products(const BackwardKernel& kernel, std::span<const V> o, std::span<const float> d_o) {
  return sum_of_products(kernel.fp32, kernel.backward.delta_sum, o, d_o);
}

/// delta = fl(sum*fl(s_o*s_dO)), s_o the scale of a stored output that was multiplied; where only
/// one has a scale, fl(sum*s); the sum itself where none has.
template <typename V>
V delta_of(const BackwardKernel& kernel, V sum, std::optional<float> s_d_o) {
  const auto& s_o = kernel.o_scale;
  if (!s_o && !s_d_o) return sum;
  const float s = s_o && s_d_o ? kernel.fp32.multiply(*s_o, *s_d_o) : (s_o ? *s_o : *s_d_o);
  return kernel.fp32.multiply(sum, V(s));
}

/// dS = fl(P*fl(dP - delta)), then times d^-1/2 where backward.softmax_scale is ds.
/// @param p  not negative
template <typename V>
V score_gradient(const BackwardKernel& kernel, V p, V dp, V delta) {
  const numerics::Fp32& fp = kernel.fp32;
  const V ds = fp.multiply(fp.add(dp, negated(delta)), p);
  return kernel.scales_ds() ? fp.multiply(ds, V(kernel.root)) : ds;
}

}  // namespace karat::attention
