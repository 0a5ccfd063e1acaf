// Masks predicted from a head's own Q and K before its kernel runs. A predictor answers an ordinary
// mask and, where it clusters, orders of its own; the engine knows nothing of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/layout/layout.hpp"

namespace karat::attention {

/// Whether layouts differ from head to head (predict.rule other than never).
bool depends_on_head(const recipe::Recipe& recipe);

/// The layout of one head, for every recipe; bits depend on recipe, setting and head alone.
/// @throws Error(usage) when the head is not of the setting's size.
layout::Layout layout_of_head(const recipe::Recipe& recipe, const layout::Setting& setting,
                              const HeadInput& head, int threads = 1);

/// Which of a query block's key blocks to keep, ascending. Sorted by weight, descending (ties as
/// the rule says), select mass keeps a prefix whose share of the total, summed in that order,
/// stays <= mass (crossing dropped) or up to and with the one that reaches mass (crossing kept), at
/// least ceil(fl(least*n)) and one; select share keeps floor or ceil of fl(share*n), at least one;
/// select tail drops from the lightest on while the sum up to and with a block, added in that
/// order, is below tail times the whole sum.
std::vector<std::int32_t> select_blocks(std::span<const double> weights,
                                        const recipe::Predict& rule);

/// SpargeAttn's trust in a block: the mean of all pairwise cosines of its rows, the diagonal
/// included, as |sum of x/|x||^2 / n^2 in f64; a zero row has cosine 0 with every row.
double mean_cosine(std::span<const float> rows, std::size_t channels);

/// Tokens by nearest centre (Euclidean; ties: the lower cluster).
struct Clusters {
  std::vector<std::int32_t> of_token;
  std::vector<std::int32_t> sizes;
  std::vector<float> centres;  ///< clusters x channels; an empty cluster keeps its last centre
};

/// Lloyd's iterations from `count` distinct tokens drawn by Philox (seed, stream): assign by the
/// largest fl(x.c - |c|^2/2), x.c a chain of f32.fma; then centres = f32(f64 mean, ascending
/// tokens). After the last update the tokens are assigned once more.
Clusters cluster_tokens(std::span<const float> rows, std::size_t channels, int count,
                        int iterations, std::uint64_t seed, std::uint64_t stream, int threads = 1);

}  // namespace karat::attention
