// O of some rows after one key block: the past times alpha, then P V.
#pragma once

#include <concepts>
#include <functional>
#include <span>
#include <vector>

#include "karat/attention/operations/kernel.hpp"

namespace karat::attention {

/// V as the product meets it.
struct Values {
  numerics::MatrixView<const float> all;  ///< positions x channels
  /// Scales of the channels at a position where they vary along the keys; empty: nowhere.
  std::function<std::vector<float>(std::int64_t position)> scales_at;
};
Values values_of(const Launch& launch);

/// Row i of o = fl(o*alpha[i]).
template <typename V, typename Alpha>
void rescale(const Kernel& kernel, std::span<const Alpha> alpha, std::span<V> o) {
  for (std::size_t e = 0; e < o.size(); ++e)
    o[e] = kernel.fp32.multiply(o[e], alpha[e / kernel.channels]);
}

/// fl(o + fl(t*f)), f what P and v are scaled by in this block: s_v, s_P or fl(s_P*s_v). Without
/// scales that change along the keys (f null) fl(o + t).
template <typename V, typename Factor>
V promoted(const numerics::Fp32& fp, V o, V t, const Factor* f) {
  return fp.add(o, f == nullptr ? t : fp.multiply(t, V(*f)));
}

/// rescale(), then for each of the block's segments T = P V in the recipe's instruction and o =
/// promoted(o, T), or one chain of instructions that starts from o where nothing is promoted.
/// @param p        rows x keys
/// @param p_scale  one a row where Kernel::p_scaled_by_rows; else not read
/// @param o        rows x channels
template <std::floating_point Alpha>
void add_pv(const Kernel& kernel, numerics::MatrixView<const float> p,
            std::span<const float> p_scale, const Values& v, video::Range keys,
            std::span<const Alpha> alpha, std::span<float> o, numerics::Path path);

}  // namespace karat::attention
