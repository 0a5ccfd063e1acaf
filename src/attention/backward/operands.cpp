// What the backward's products read of q, k, v and dO.
#include "backward/operands.hpp"

#include <string>
#include <utility>

#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

using numerics::FormatId;

constexpr std::size_t kRows = 256;  // rows per work item

/// RN of every value to the format.
quant::Quantised plain(std::vector<float> values, std::size_t channels, FormatId format,
                       numerics::Path path, int threads) {
  const std::size_t rows = values.size() / channels;
  numerics::parallel_for((rows + kRows - 1) / kRows, threads, [&](std::size_t item, int) {
    const std::size_t first = item * kRows, count = std::min(kRows, rows - first);
    cast({&values[first * channels], count * channels}, format, quant::cast_policy(format), path);
  });
  return {.format = format,
          .rows = rows,
          .channels = channels,
          .values = std::move(values),
          .codes = {},
          .scales = {},
          .grouping = {}};
}

}  // namespace

std::vector<float> decoded(const numerics::Fp32& fp, const quant::Quantised& x) {
  std::vector<float> values = x.values;
  if (x.scales.empty()) return values;
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.channels; ++j)
      values[i * x.channels + j] = fp.multiply(values[i * x.channels + j], x.scale(i, j));
  return values;
}

bool backward_needs_values(const recipe::Recipe& recipe) {
  const recipe::Backward& b = recipe.backward;
  const bool term =
      recipe.k.smooth == recipe::Smooth::mean && b.smooth_term == recipe::SmoothTerm::added;
  return b.q == recipe::Source::input || b.k == recipe::Source::input ||
         b.v == recipe::Source::input || term ||
         b.straight_through == recipe::StraightThrough::zero_where_saturated;
}

InputRows input_rows(const recipe::Recipe& recipe, const layout::Layout& layout,
                     const HeadInput& input) {
  const std::size_t d = layout.channels;
  require_values(input, layout.order.tokens(), d);
  InputRows rows{.q = ordered_rows(input.q, d, layout.order.token_at, d),
                 .k = ordered_rows(input.k, d, layout.key_order.token_at, d),
                 .v = ordered_rows(input.v, d, layout.key_order.token_at, d),
                 .k_mean = {}};
  if (recipe.k.smooth == recipe::Smooth::mean)
    rows.k_mean = subtract_mean(rows.k, {0, layout.key_order.positions()}, layout.key_order, d,
                                recipe.k, input.format, 1);
  return rows;
}

Operand read_as(recipe::Source source, const quant::Quantised& coded, std::vector<float> input,
                const BackwardKernel& kernel, numerics::Path path, int threads) {
  const FormatId format = kernel.backward.plain;
  switch (source) {
    case recipe::Source::codes:
      return Operand(coded);
    case recipe::Source::input:
      return Operand(plain(std::move(input), coded.channels, format, path, threads));
    case recipe::Source::dequantised:
      break;
  }
  if (coded.scales.empty() && (format == FormatId::f32 || format == coded.format))
    return Operand(coded);
  return Operand(plain(decoded(kernel.fp32, coded), coded.channels, format, path, threads));
}

quant::Quantised coded_gradient(const recipe::Recipe& recipe, const layout::Layout& layout,
                                const mask::BlockMap& blocks, std::span<const float> rows,
                                numerics::Path path, int threads) {
  quant::Rule rule = recipe.backward.d_o;
  rule.tile = recipe.q.tile;
  rule.rows = recipe.q.rows;
  const std::size_t d = layout.channels;
  return quant::quantise(
      numerics::row_major(rows.data(), rows.size() / d, d), rule,
      quant::group_positions(rule, layout.grid, layout.order, blocks.query_blocks, d), path,
      threads);
}

std::int64_t first_token(const video::TokenOrder& order, video::Range block) {
  for (std::int64_t i = block.begin; i < block.end; ++i)
    if (order.token_at[i] >= 0) return i;
  return block.begin;
}

void require_constant_scales(const char* name, const quant::Quantised& x,
                             const video::TokenOrder& order, std::span<const video::Range> blocks) {
  if (x.scales.empty()) return;
  for (const video::Range block : blocks) {
    const std::int32_t group = x.grouping.group(first_token(order, block), 0);
    for (std::int64_t i = block.begin; i < block.end; ++i)
      if (order.token_at[i] >= 0 && x.grouping.group(i, 0) != group)
        throw Error(ErrorKind::usage, name,
                    "positions " + std::to_string(block.begin) + " to " +
                        std::to_string(block.end - 1) +
                        ", which one product sums over, hold several scales",
                    "give larger groups, smaller blocks or dequantised");
  }
}

}  // namespace karat::attention
