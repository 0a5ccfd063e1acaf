// Means over blocks or tiles of positions, and the scores between them: what the predictor of
// means and the coarse branch share.
#pragma once

#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/layout/layout.hpp"
#include "karat/video/token_order.hpp"

namespace karat::attention {

/// The mean of each range's rows, ranges x channels. Means::f64: sums in f64 of ascending positions
/// over the count, not rounded; bf16: sums in f32, then bf16(fl(sum/n)). @pre no range is empty
std::vector<double> range_means(std::span<const float> rows, std::size_t channels,
                                std::span<const video::Range> ranges, recipe::Means means,
                                int threads = 1);

/// scores[i][j] = q_i.k_j * d^-1/2 as MeanScores says: in f64, channels ascending, the factor
/// last; a chain of f32.fma and fl(d^-1/2); or bf16(fl(bf16(chain) * fl(d^-1/2))). What is not a
/// number is -Inf. Means that are no f32 numbers are rounded to f32 where scores are.
std::vector<double> mean_scores(std::span<const double> q, std::span<const double> k,
                                std::size_t channels, recipe::MeanScores scores, int threads);

}  // namespace karat::attention
