// Softmax, P V and the finish of one query block once more, from its scores, with the mistakes that
// kernels make there. Without a fault and with a correctly rounded exp2 it gives the engine's bits.
#pragma once

#include <functional>
#include <vector>

#include "karat/attention/attend.hpp"

namespace karat::golden {

enum class KernelFault {
  stale_maximum,            ///< P = exp2(s - m), m from before the block; alpha as it should be
  o_not_rescaled,           ///< O misses alpha
  l_not_rescaled,           ///< l misses alpha
  alpha_after_product,      ///< O = (O + T) * alpha
  l_of_one_lane,            ///< each thread divides by its own lane's share of l
  zero_keys_counted,        ///< lanes behind a short block count as keys with score 0 and value 0
  unguarded_infinity,       ///< m - m is NaN while no key has been seen, and so are alpha and P
  scores_in_bf16,           ///< an unfused kernel stores scores, log2 units, in BF16
  natural_scores_in_bf16,   ///< scores in natural units, d^-1/2 q.k
  products_in_bf16,         ///< q.k before d^-1/2
  p_through_f16,            ///< P is rounded to f16 on the way to its codes
  p_through_bf16,           ///< likewise bf16
  last_group_left_out,      ///< the last k-group of each block's P V
  o_kept_in_output_format,  ///< O is rounded to the output's format after each block
  not_normalised,           ///< the division by l is missing
  multiplier_kept,          ///< P's multiplier is not divided out
  output_toward_zero,       ///< the last cast truncates
  output_through_f16,       ///< the output is rounded to f16 first
  v_mean_forgotten,         ///< what smoothing took out of V does not come back
};
using KernelFaults = std::vector<KernelFault>;

/// 2^x as this kernel computes it, given the correctly rounded value.
using KernelExp2 = std::function<float(float x, float rounded)>;

struct KernelRows {
  std::vector<float> out;  ///< rows x channels
  std::vector<float> l;    ///< rows
};

/// @pre recipe.softmax.exp2 is rounded and recipe.skip leaves nothing out; the tap holds s and m.
KernelRows run_kernel(const recipe::Recipe& recipe, const layout::Layout& layout,
                      const attention::QuantisedHead& head, const attention::BlockTap& tap,
                      const KernelFaults& faults, const KernelExp2& exp2 = {});
bool kernel_runs(const recipe::Recipe& recipe);

}  // namespace karat::golden
