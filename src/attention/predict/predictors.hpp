// The predictors, one function each: from a head to orders and a mask.
#pragma once

#include "karat/attention/predict.hpp"

namespace karat::attention {

struct PredictorInput {
  const recipe::Recipe& recipe;
  const layout::Setting& setting;
  const HeadInput& head;
  int threads;
};

/// SpargeAttn's first stage; with select share, plain top-k blocks.
layout::Arrangement predict_by_similarity(const PredictorInput& input);
/// SparseVideoGen 2: clusters of queries and of keys.
layout::Arrangement predict_by_clusters(const PredictorInput& input);
/// SparseVideoGen 1: spatial or temporal band, whichever errs less on sampled rows.
layout::Arrangement predict_by_profile(const PredictorInput& input);

/// NABLA, SubBlock, VSA, SLA: scores between means of blocks or tiles; joins the mask section's
/// window.
layout::Arrangement predict_by_means(const PredictorInput& input);

/// Groups of keys: blocks or clusters.
struct PooledKeys {
  std::vector<double> means;  ///< groups x channels
  std::vector<double> sizes;  ///< what a group's weight is multiplied by
};
/// size * exp(query.mean/sqrt(d)) of every group, up to a common factor.
std::vector<double> pooled_weights(std::span<const double> query, const PooledKeys& keys);

/// `count` distinct tokens (all, if there are no more) in the order Philox draws them.
std::vector<std::int32_t> draw_tokens(std::int64_t tokens, int count, std::uint64_t seed,
                                      std::uint64_t stream);

}  // namespace karat::attention
