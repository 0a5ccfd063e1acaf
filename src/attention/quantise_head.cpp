// Values in the caller's order -> smoothed, reordered, quantised operands.
#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "karat/attention/branch.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/random/philox.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

/// SageAttention multiplies Q by d^-1/2 * log2 e before it is quantised.
void fold_score_scale(std::vector<float>& q, const recipe::Recipe& recipe, std::size_t channels,
                      int threads) {
  if (recipe.qk.scale_order != recipe::ScaleOrder::folded_into_q) return;
  const auto c = static_cast<float>(score_scale(channels));
  const numerics::Fp32 fp{recipe.subnormals};
  for_row_bands(q.size() / channels, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t e = begin * channels; e < end * channels; ++e) q[e] = fp.multiply(q[e], c);
  });
}

/// x = H*D*x/sqrt(d) per row: signs by Philox (seed, stream 0, channel), then butterflies
/// (a + b, a - b) over distances 1, 2, 4, ..., one rounding each, then times fl(1/sqrt(d)).
void rotate_hadamard(std::vector<float>& rows, const recipe::Operand& rule,
                     const recipe::Recipe& recipe, std::size_t channels, int threads) {
  if (!std::has_single_bit(channels))
    throw Error(ErrorKind::usage, "rotate",
                "a Hadamard rotation of " + std::to_string(channels) + " channels does not exist",
                "use a power of two");
  const numerics::Fp32 fp{recipe.subnormals};
  std::vector<float> sign(channels);
  for (std::size_t j = 0; j < channels; ++j)
    sign[j] = numerics::random_bits(rule.rotate_seed, 0, j) & 1 ? -1.0f : 1.0f;
  const auto norm = static_cast<float>(1.0 / std::sqrt(static_cast<double>(channels)));
  const auto rotate = [&](float* x) {
    for (std::size_t j = 0; j < channels; ++j) x[j] *= sign[j];
    for (std::size_t distance = 1; distance < channels; distance *= 2)
      for (std::size_t j = 0; j < channels; ++j)
        if ((j & distance) == 0) {
          const float a = x[j], b = x[j + distance];
          x[j] = fp.add(a, b);
          x[j + distance] = fp.add(a, -b);
        }
    for (std::size_t j = 0; j < channels; ++j) x[j] = fp.multiply(x[j], norm);
  };
  for_row_bands(rows.size() / channels, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) rotate(&rows[row * channels]);
  });
}

/// Per row the f64 sum of products with `vector`, channels ascending.
std::vector<double> dot_rows(const std::vector<float>& rows, const std::vector<float>& vector,
                             std::size_t channels, int threads) {
  std::vector<double> dots(rows.size() / channels, 0.0);
  for_row_bands(dots.size(), threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      for (std::size_t j = 0; j < channels; ++j)
        dots[i] += static_cast<double>(rows[i * channels + j]) * vector[j];
  });
  return dots;
}

}  // namespace

QuantisedHead quantise_head(const recipe::Recipe& recipe, const layout::Layout& layout,
                            const HeadInput& input, numerics::Path path, int threads) {
  const std::size_t d = layout.channels;
  require_values(input, layout.order.tokens(), d);
  Smoothed smoothed;
  std::vector<float> q = ordered_rows(input.q, d, layout.order.token_at, d, threads);
  std::vector<float> k = ordered_rows(input.k, d, layout.key_order.token_at, d, threads);
  std::vector<float> v = ordered_rows(input.v, d, layout.key_order.token_at, d, threads);
  const auto smooth_keys = [&](std::vector<float>& rows, const recipe::Operand& rule) {
    const video::Range all{0, layout.key_order.positions()};
    return subtract_mean(rows, all, layout.key_order, d, rule, input.format, threads);
  };
  if (recipe.k.smooth == recipe::Smooth::mean)
    smoothed.q_dot_k_mean = dot_rows(q, smooth_keys(k, recipe.k), d, threads);
  if (recipe.v.smooth == recipe::Smooth::mean) smoothed.v_mean = smooth_keys(v, recipe.v);
  if (recipe.q.rotate == recipe::Rotate::hadamard) rotate_hadamard(q, recipe.q, recipe, d, threads);
  if (recipe.k.rotate == recipe::Rotate::hadamard) rotate_hadamard(k, recipe.k, recipe, d, threads);
  fold_score_scale(q, recipe, d, threads);
  if (recipe.q.smooth == recipe::Smooth::mean) {
    const std::vector<video::Range>& blocks = layout.blocks.query_blocks;
    smoothed.q_block_means.resize(blocks.size() * d);
    numerics::parallel_for(blocks.size(), threads, [&](std::size_t b, int) {
      const auto means = subtract_mean(q, blocks[b], layout.order, d, recipe.q, input.format, 1);
      std::ranges::copy(means, &smoothed.q_block_means[b * d]);
    });
    smoothed.keys = k;
  }
  const auto run = [&](const std::vector<float>& rows, const recipe::Operand& rule,
                       quant::Grouping groups, float largest, std::uint64_t stream) {
    if (rule.group == quant::Group::all_heads) groups.beyond = largest;
    return quant::quantise(numerics::row_major<const float>(rows.data(), rows.size() / d, d), rule,
                           std::move(groups), path, threads, stream);
  };
  return {.q = run(q, recipe.q, layout.q_groups, input.largest.q, 1),
          .k = run(k, recipe.k, layout.k_groups, input.largest.k, 2),
          .v = run(v, recipe.v, layout.v_groups, input.largest.v, 3),
          .smoothed = std::move(smoothed),
          .branch = branch_of(recipe, layout, input, path, threads)};
}

}  // namespace karat::attention
