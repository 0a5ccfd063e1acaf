// SparseVideoGen 2: k-means over queries and over keys; a cluster of queries sees the key clusters
// that hold most of its weight.
#include <algorithm>
#include <cmath>

#include "karat/mask/listed.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "predictors.hpp"

namespace karat::attention {
namespace {

constexpr std::size_t kRows = 256;  ///< tokens assigned at a time
enum Stream : std::uint64_t { query_stream = 0x636c757374657251, key_stream };

std::vector<float> half_squares(const std::vector<float>& centres, std::size_t channels) {
  std::vector<float> halves(centres.size() / channels);
  for (std::size_t c = 0; c < halves.size(); ++c) {
    double sum = 0;
    for (std::size_t j = 0; j < channels; ++j)
      sum += double{centres[c * channels + j]} * centres[c * channels + j];
    halves[c] = static_cast<float>(sum / 2);
  }
  return halves;
}

void assign(std::span<const float> rows, std::size_t channels, Clusters& clusters, int threads) {
  const auto& fma = numerics::instruction("f32.fma");
  const std::vector<float> half = half_squares(clusters.centres, channels);
  numerics::ColumnOperand centres;
  centres.pack(fma,
               numerics::row_major<const float>(clusters.centres.data(), half.size(), channels));
  const std::size_t tokens = clusters.of_token.size();
  numerics::parallel_for((tokens + kRows - 1) / kRows, threads, [&](std::size_t part, int) {
    const std::size_t begin = part * kRows, count = std::min(kRows, tokens - begin);
    numerics::RowOperand block;
    block.pack(fma, numerics::row_major(&rows[begin * channels], count, channels));
    std::vector<float> dots(count * half.size());
    numerics::chain(fma, block, centres, numerics::Start::absent,
                    numerics::row_major(dots.data(), count, half.size()));
    for (std::size_t i = 0; i < count; ++i) {
      float* row = &dots[i * half.size()];
      for (std::size_t c = 0; c < half.size(); ++c) row[c] -= half[c];
      clusters.of_token[begin + i] =
          static_cast<std::int32_t>(std::max_element(row, row + half.size()) - row);
    }
  });
  std::ranges::fill(clusters.sizes, 0);
  for (const std::int32_t cluster : clusters.of_token) ++clusters.sizes[cluster];
}

/// Every channel sums its tokens in ascending order, whichever worker has it.
void move_centres(std::span<const float> rows, std::size_t channels, Clusters& clusters,
                  int threads) {
  constexpr std::size_t kChannels = 8;
  std::vector<double> sums(clusters.centres.size(), 0.0);
  numerics::parallel_for((channels + kChannels - 1) / kChannels, threads, [&](std::size_t c, int) {
    const std::size_t first = c * kChannels, last = std::min(channels, first + kChannels);
    for (std::size_t i = 0; i < clusters.of_token.size(); ++i)
      for (std::size_t j = first; j < last; ++j)
        sums[clusters.of_token[i] * channels + j] += rows[i * channels + j];
  });
  for (std::size_t at = 0; at < sums.size(); ++at)
    if (const int size = clusters.sizes[at / channels]; size > 0)
      clusters.centres[at] = static_cast<float>(sums[at] / size);
}

/// Cluster after cluster, tokens ascending inside; each cluster that holds any is a tile.
video::TokenOrder order_of(const Clusters& clusters) {
  const std::size_t tokens = clusters.of_token.size();
  std::vector<std::int64_t> next(clusters.sizes.size());
  video::TokenOrder order{.token_at = std::vector<std::int32_t>(tokens),
                          .position_of = std::vector<std::int32_t>(tokens),
                          .tile_begin = {},
                          .tile_at = {}};
  std::int64_t begin = 0;
  for (std::size_t c = 0; c < next.size(); ++c) {
    next[c] = begin;
    if (clusters.sizes[c] > 0) order.tile_begin.push_back(begin);
    begin += clusters.sizes[c];
    order.tile_at.resize(begin, static_cast<std::int32_t>(order.tile_begin.size()) - 1);
  }
  order.tile_begin.push_back(begin);
  for (std::size_t token = 0; token < tokens; ++token) {
    const std::int64_t position = next[clusters.of_token[token]]++;
    order.token_at[position] = static_cast<std::int32_t>(token);
    order.position_of[token] = static_cast<std::int32_t>(position);
  }
  return order;
}

/// The clusters that hold any token.
PooledKeys pooled(const Clusters& clusters, std::size_t channels) {
  PooledKeys out;
  for (std::size_t c = 0; c < clusters.sizes.size(); ++c) {
    if (clusters.sizes[c] == 0) continue;
    const float* centre = &clusters.centres[c * channels];
    out.means.insert(out.means.end(), centre, centre + channels);
    out.sizes.push_back(clusters.sizes[c]);
  }
  return out;
}

}  // namespace

Clusters cluster_tokens(std::span<const float> rows, std::size_t channels, int count,
                        int iterations, std::uint64_t seed, std::uint64_t stream, int threads) {
  const std::size_t tokens = rows.size() / channels;
  Clusters clusters;
  for (const auto token : draw_tokens(static_cast<std::int64_t>(tokens), count, seed, stream))
    clusters.centres.insert(clusters.centres.end(), &rows[token * channels],
                            &rows[token * channels] + channels);
  clusters.of_token.resize(tokens);
  clusters.sizes.resize(clusters.centres.size() / channels);
  assign(rows, channels, clusters, threads);
  for (int i = 0; i < iterations; ++i) {
    move_centres(rows, channels, clusters, threads);
    assign(rows, channels, clusters, threads);
  }
  return clusters;
}

layout::Arrangement predict_by_clusters(const PredictorInput& input) {
  const recipe::Predict& rule = input.recipe.predict;
  const std::size_t channels = input.setting.channels;
  const auto clustered = [&](std::span<const float> rows, int count, Stream stream) {
    return cluster_tokens(rows, channels, count, rule.iterations,
                          static_cast<std::uint64_t>(rule.seed), stream, input.threads);
  };
  const Clusters q = clustered(input.head.q, rule.query_clusters, query_stream);
  const Clusters k = clustered(input.head.k, rule.key_clusters, key_stream);
  layout::Arrangement made{order_of(q), order_of(k), nullptr};
  const auto query_ranges = video::tile_ranges(made.order);
  const auto key_ranges = video::tile_ranges(made.key_order);
  std::vector<std::uint8_t> keep(query_ranges.size() * key_ranges.size(), 0);
  const PooledKeys queries = pooled(q, channels), keys = pooled(k, channels);
  numerics::parallel_for(queries.sizes.size(), input.threads, [&](std::size_t row, int) {
    for (const std::int32_t block :
         select_blocks(pooled_weights({&queries.means[row * channels], channels}, keys), rule))
      keep[row * key_ranges.size() + block] = 1;
  });
  made.mask = mask::block_table(query_ranges, key_ranges, std::move(keep));
  return made;
}

}  // namespace karat::attention
