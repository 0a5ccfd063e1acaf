// One head on its way in: values in the caller's token order, then codes and scales in the
// kernel's order of positions.
#pragma once

#include <span>
#include <vector>

#include "karat/layout/layout.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::attention {

/// Largest magnitudes over all batch entries and heads, for scales that they share
/// (Group::all_heads); 0 where a head stands alone.
struct LargestOfAll {
  float q = 0, k = 0, v = 0;
};

/// tokens x channels each, row-major, original token order, finite.
struct HeadInput {
  std::span<const float> q, k, v;
  /// The type the values came in; smoothing rounds its means to it (SmoothMean::input_type).
  numerics::FormatId format = numerics::FormatId::f32;
  LargestOfAll largest = {};
};

/// What smoothing took out of the operands and the kernel puts back.
struct Smoothed {
  /// Per channel; empty when v is not smoothed. Added to the normalised output, fl, before the
  /// cast.
  std::vector<float> v_mean;
  /// Per position: q . mean of k, f64, channels ascending; empty when k is not smoothed. Times
  /// d^-1/2 it comes back into lse (scores lose it alike for all keys, so softmax does not see it).
  std::vector<double> q_dot_k_mean;
  /// Query blocks x channels and positions x channels; empty when q is not smoothed. A score gains
  /// fl(delta*c), delta = chain of f32.fma over the block's mean and the key as smoothed.
  std::vector<float> q_block_means, keys;
};

/// Operands over positions (padding rows are zero). Attention can start from here: fill it with
/// quant::from_codes() when codes and scales come from elsewhere.
struct QuantisedHead {
  quant::Quantised q, k, v;
  Smoothed smoothed;
  std::vector<float> branch = {};  ///< branch_of() (attention/branch.hpp); empty without one
};

/// Reorders, smooths and quantises. Both paths give the same bits, for any number of threads.
QuantisedHead quantise_head(const recipe::Recipe& recipe, const layout::Layout& layout,
                            const HeadInput& input, numerics::Path path, int threads = 1);

}  // namespace karat::attention
