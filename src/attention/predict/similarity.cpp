// SpargeAttn's block map: pooled scores between blocks whose rows look alike, all of the others.
#include <cmath>

#include "karat/layout/arrangement.hpp"
#include "karat/mask/compose.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "predictors.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

/// Blocks; those whose rows look alike have size 1, the others, which are not to be trusted, 0.
PooledKeys pool(const std::vector<float>& rows, const std::vector<video::Range>& blocks,
                std::size_t channels, float threshold, int threads) {
  PooledKeys pooled{std::vector<double>(blocks.size() * channels, 0.0),
                    std::vector<double>(blocks.size())};
  numerics::parallel_for(blocks.size(), threads, [&](std::size_t b, int) {
    double* mean = &pooled.means[b * channels];
    for (std::int64_t i = blocks[b].begin; i < blocks[b].end; ++i)
      for (std::size_t j = 0; j < channels; ++j) mean[j] += rows[i * channels + j];
    for (std::size_t j = 0; j < channels; ++j) mean[j] /= static_cast<double>(blocks[b].size());
    const std::span block(&rows[blocks[b].begin * channels], blocks[b].size() * channels);
    pooled.sizes[b] = mean_cosine(block, channels) > threshold;
  });
  return pooled;
}

}  // namespace

double mean_cosine(std::span<const float> rows, std::size_t channels) {
  std::vector<double> sum(channels, 0.0);
  for (std::size_t i = 0; i < rows.size(); i += channels) {
    double squares = 0;
    for (std::size_t j = 0; j < channels; ++j) squares += double{rows[i + j]} * rows[i + j];
    if (squares == 0) continue;
    const double norm = std::sqrt(squares);
    for (std::size_t j = 0; j < channels; ++j) sum[j] += rows[i + j] / norm;
  }
  double squares = 0;
  for (const double x : sum) squares += x * x;
  const auto count = static_cast<double>(rows.size() / channels);
  return squares / (count * count);
}

layout::Arrangement predict_by_similarity(const PredictorInput& input) {
  const recipe::Recipe& recipe = input.recipe;
  const std::size_t channels = input.setting.channels;
  layout::Arrangement made{layout::make_order(recipe.mask, input.setting), {}, nullptr};
  made.key_order = made.order;
  const auto query_blocks = cut_blocks(made.order, recipe.block.q, recipe.block.align);
  const auto key_blocks = cut_blocks(made.order, recipe.block.k, recipe.block.align);
  const auto rows = [&](std::span<const float> values) {
    return ordered_rows(values, channels, made.order.token_at, channels, input.threads);
  };
  std::vector<float> keys = rows(input.head.k);
  if (recipe.k.smooth == recipe::Smooth::mean)
    subtract_mean(keys, {0, made.order.positions()}, made.order, channels, recipe.k,
                  input.head.format, input.threads);
  const float threshold = recipe.predict.similarity;
  const PooledKeys q = pool(rows(input.head.q), query_blocks, channels, threshold, input.threads);
  const PooledKeys k = pool(keys, key_blocks, channels, threshold, input.threads);

  const std::size_t columns = key_blocks.size();
  std::vector<std::uint8_t> keep(query_blocks.size() * columns, 0);
  numerics::parallel_for(query_blocks.size(), input.threads, [&](std::size_t i, int) {
    std::uint8_t* row = &keep[i * columns];
    for (const std::int32_t block :
         select_blocks(pooled_weights({&q.means[i * channels], channels}, k), recipe.predict))
      row[block] = 1;
    for (std::size_t j = 0; j < columns; ++j) row[j] |= q.sizes[i] == 0 || k.sizes[j] == 0;
    if (recipe.predict.sink == recipe::Sink::on) row[0] = 1;
  });
  made.mask = mask::block_table(query_blocks, key_blocks, std::move(keep));
  if (recipe.mask.causal == recipe::Causal::on) made.mask = mask::causal(std::move(made.mask));
  return made;
}

}  // namespace karat::attention
