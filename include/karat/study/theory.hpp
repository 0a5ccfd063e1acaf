// What arithmetic predicts for a row, before any kernel runs: first-order error propagation through
// softmax, the share a mask cuts off, and the P that underflow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/study/quantity.hpp"

namespace karat::study {

/// Squares of predicted errors of one row under a mask, and what they rest on. p are the row's
/// weights over kept keys, o = sum p v, rounding errors taken as independent with mean 0:
///   q: sum_i var(q_i) |sum_j p_j k_ji (v_j - o)|^2 / d  over keys with p_j > 1e-5
///   k: sum_j p_j^2 |v_j - o|^2 sum_i var(k_ji) q_i^2 / d
///   p: rel^2 sum_j p_j^2 |v_j|^2 over keys below the running maximum (P = 1 itself is exact), and
///   the
///      square of the weighted v that underflow
///   v: sum_j p_j^2 |var(v_j)|
/// var(x) = rel^2 x^2 for floats, rel^2 = (2^-f)^2/12 * E[1/m^2], E = 3/(8 ln 2) over mantissas m
/// with a log-uniform law, f fraction bits; s^2/12 for integers of scale s.
struct RowTheory {
  double q = 0, k = 0, p = 0, v = 0;
  double truth = 0;      ///< |o|^2 under the mask
  double entropy = 0;    ///< of the dense weights, natural units
  double max_logit = 0;  ///< over all keys, natural units
  double kept_mass = 0;  ///< of the dense weights
  /// Tokens from the query to the nearest key that its mask drops, along the axes of the grid
  /// through the query (a step along one axis at a time); the number of tokens across the grid
  /// where none is dropped.
  double edge = 0;
  /// Mass of kept P that round to 0, per kUnderflows: code(multiplier * 2^(s - running maximum)) is
  /// 0 in E4M3, key blocks in that order.
  std::vector<double> lost;
};

/// @param token of the query; its block's visits come from the layout
RowTheory predict_row(const recipe::Recipe& recipe, const layout::Layout& layout,
                      const attention::HeadInput& input, const attention::QuantisedHead& coded,
                      std::int32_t token);

}  // namespace karat::study
