// What the operations of a kernel share: the constants of its recipe, rounded once, and the head it
// runs on. docs/recipes/operations.md states the operations; the headers beside this one are them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/numerics/arithmetic/fp32.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::attention {

/// d^-1/2 log2 e in f64: q.k times this is an exponent of 2.
double score_scale(std::size_t channels);

/// Constants of a recipe's kernel. References the recipe.
struct Kernel {
  /// @param score_factor  see AttendOptions
  Kernel(const recipe::Recipe& recipe, std::size_t channels, double score_factor = 1.0);

  const recipe::Recipe& recipe;
  const numerics::Instruction& qk;
  const numerics::Instruction& pv;
  numerics::Fp32 fp32;
  std::size_t channels;
  float c;             ///< f32(d^-1/2 log2 e), or what score_scale and scale_order leave of it
  bool fused;          ///< scores and maxima times a factor f are in log2 units, not by themselves
  bool scores_scaled;  ///< false: s = fl(A*c), the scales of q and k stay out (score_scale omitted)
  float masked_score;
  float initial_max;
  bool from_accumulators;    ///< exponents are fma(A, f, -R); s is rounded for the maximum alone
  float offset;              ///< of R; 0 where p.apply is multiply or scores hold it
  float score_offset;        ///< what scores hold of P's offset; else 0
  float multiplier;          ///< of P; 1 where p.apply is exponent_offset
  float inverse_multiplier;  ///< fl(1/multiplier), which a row sum of decoded codes multiplies by
  float largest_p;           ///< largest finite value of P's format
  quant::Rule p_rule;        ///< how a row of P is coded where it is grouped
  bool p_grouped;            ///< groups of P have scales from their own largest values
  bool p_scaled_by_rows;     ///< a row's scale stays outside the product of its key block
  float skip_lambda = 0;     ///< fl(skip.factor/keys); 0 where no keys are known

  /// What multiplies scores in log2 units or, where exponents are fused, stands in them, given the
  /// scales of q and k.
  float factor(float s_q, float s_k) const {
    switch (recipe.qk.scale_order) {
      case recipe::ScaleOrder::scaled_then_fused:
        return c;
      case recipe::ScaleOrder::query_first:
        return fp32.multiply(fp32.multiply(c, s_q), s_k);
      default:
        return fp32.multiply(fp32.multiply(s_q, s_k), c);
    }
  }
  /// A score or maximum in log2 units.
  float in_log2(float score, float f) const { return fused ? fp32.multiply(score, f) : score; }
  /// R, what P's exponents subtract under maximum m: fl(fl(m*f) - offset), or fma(m, f, -offset)
  /// where p.offset_enters is fused; f counts where exponents are fused. 0 while m is -Inf.
  float reference(float m, float f) const;
  /// Keys of a block whose T is formed and promoted together, one part after the other.
  std::vector<video::Range> segments(video::Range keys) const;
};

/// A kernel and its head. References its arguments.
struct Launch : Kernel {
  Launch(const recipe::Recipe& recipe, const layout::Layout& layout, const QuantisedHead& head,
         double score_factor = 1.0);

  const layout::Layout& layout;
  const QuantisedHead& head;
  bool v_scaled_per_block;  ///< v's scale varies along the keys: it enters when T is promoted

  float q_scale(std::int64_t position) const { return head.q.scale(position, 0); }
  float k_scale(std::int64_t position) const { return head.k.scale(position, 0); }
  /// Kernel::factor() of a pair of positions.
  float pair_factor(std::int64_t query, std::int64_t key) const {
    return factor(q_scale(query), k_scale(key));
  }
  /// v's scales at a position, per channel, where they vary along the keys; else empty.
  std::vector<float> block_scales(std::int64_t position) const;
};

}  // namespace karat::attention
