// What a second branch beside the sparse kernel adds to its output: SLA's linear attention, VSA's
// attention between means. Computed on a head's own values, before and outside the kernel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"

namespace karat::attention {

/// tokens x channels, original order, exact in branch.format; empty where the recipe has none. With
/// fl one rounding to f32 (subnormals as the recipe has them), type(x) the cast to branch.format,
/// e(x) = exp2_rounded(fl(x*fl(log2 e))) and sums f32 chains in ascending order:
///
/// linear, tokens in original order: phi(x)_j = type(fl(e(fl(x_j - max x)) / sum of e)) of a row of
/// q or k; KV = type(sum over tokens of fma(phi(k)_ti, v_tj)), z = type(sum over tokens of phi(k));
/// numerator = type(sum over i of fma(phi(q)_i, KV_ij)), denominator = type(fl(epsilon + type(sum
/// over i of fma(phi(q)_i, z_i)))); branch = type(fl(numerator / denominator)).
///
/// coarse: means of q, k and v over predict.unit as predict.means says, each cast to type; s =
/// type(fl(type(sum of fma(q_c, k_c)) * fl(d^-1/2))); p = type(fl(e(fl(s - max s)) / sum of e));
/// every token of a range gets type(sum over ranges of fma(p, v_c)).
///
/// The order of the sums of torch.matmul and its exp are open; these stand for them.
std::vector<float> branch_of(const recipe::Recipe& recipe, const layout::Layout& layout,
                             const HeadInput& input, numerics::Path path, int threads = 1);

/// The same in f64, times branch.weight, of the given tokens: rows x channels; empty without a
/// branch.
std::vector<double> branch_truth(const layout::Layout& layout, const HeadInput& input,
                                 std::span<const std::int32_t> tokens, int threads = 1);

}  // namespace karat::attention
