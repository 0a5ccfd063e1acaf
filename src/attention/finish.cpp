// The step from accumulators to outputs.
#include "karat/attention/operations/finish.hpp"

#include <algorithm>
#include <limits>

#include "engine.hpp"
#include "fast/softmax_rows.hpp"

namespace karat::attention {
namespace {

/// finish_row() by the fast engine's loops.
void finish_by_arrays(const Launch& launch, float r, const OutputTerms& terms,
                      std::span<float> row) {
  const recipe::Recipe& recipe = launch.recipe;
  const RowLoops& loops = row_loops(recipe.subnormals);
  if (terms.division_scale != 1.0f) loops.multiply(row, terms.division_scale, row);
  const auto cast_to = [&](numerics::FormatId format) {
    cast(row, format, quant::cast_policy(format));
  };
  loops.multiply(row, r, row);
  const bool scales_last = recipe.finish.cast == recipe::Cast::before_scale;
  if (scales_last) cast_to(recipe.output);
  loops.multiply_columns({row.data(), 1, row.size(), row.size()}, terms.factor);
  if (!scales_last && !terms.mean.empty()) loops.add(row, terms.mean);
  if (recipe.finish.multiplier != 1.0f) loops.multiply(row, recipe.finish.multiplier, row);
  cast_to(output_format(recipe));
  if (terms.branch.empty()) return;
  loops.add(row, terms.branch);
  cast_to(output_format(recipe));
}

}  // namespace

RowState::RowState(const Launch& launch, std::size_t rows)
    : m(rows + kPadding, launch.initial_max), partial(rows), o(rows * launch.channels, 0.0f) {}

void finish(const Launch& launch, video::Range queries, const RowState& state, numerics::Path path,
            HeadResult& result) {
  std::vector<float> factors = output_factors(launch, launch.multiplier);
  factors.resize(launch.channels + kPadding);
  OutputTerms terms{std::span(factors).first(launch.channels), launch.head.smoothed.v_mean};
  for (std::int64_t i = 0; i < queries.size(); ++i) {
    const std::int32_t token = launch.layout.order.token_at[queries.begin + i];
    if (token < 0) continue;
    const float l = row_sum(launch, state.partial[i]);
    result.m[token] = state.m[i];
    result.l[token] = l;
    const std::span<float> row(&result.o[token * launch.channels], launch.channels);
    const std::vector<float> branch = branch_terms(launch, token);
    terms.branch = branch;
    if (l == 0.0f) {
      std::ranges::fill(row, output_without_keys(launch.recipe));
      add_branch(launch, row, terms.branch, path);
      result.lse[token] = -std::numeric_limits<float>::infinity();
      continue;
    }
    std::copy_n(&state.o[i * launch.channels], launch.channels, row.begin());
    const float below = divisor(launch, l), r = reciprocal(launch, below);
    terms.division_scale = division_scale(launch, below);
    if (path == numerics::Path::fast)
      finish_by_arrays(launch, r, terms, row);
    else
      finish_row(
          launch, row, [r](std::size_t) { return r; }, terms, path);
    result.lse[token] = log_sum_exp(launch, queries.begin + i, state.m[i], l);
  }
}

}  // namespace karat::attention
