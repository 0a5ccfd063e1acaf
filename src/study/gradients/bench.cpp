// Whole forwards, since dK and dV sum over all queries; backwards of the sampled blocks alone.
#include "gradients/bench.hpp"

#include <algorithm>

#include "karat/attention/attend.hpp"

namespace karat::study {
namespace {

/// The blocks that hold the tokens, ascending.
std::vector<int> blocks_of(std::span<const std::int32_t> tokens, const video::TokenOrder& order,
                           std::span<const video::Range> blocks) {
  std::vector<int> found;
  for (const std::int32_t token : tokens) {
    const auto past = std::ranges::upper_bound(blocks, std::int64_t{order.position_of[token]}, {},
                                               &video::Range::begin);
    found.push_back(static_cast<int>(past - blocks.begin()) - 1);
  }
  std::ranges::sort(found);
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// Rows of the tokens, divided by what they were multiplied by before their cast.
Rows rows_of(const std::vector<float>& values, std::span<const std::int32_t> tokens,
             std::size_t channels, float multiplier) {
  Rows rows;
  rows.reserve(tokens.size() * channels);
  for (const std::int32_t token : tokens)
    for (std::size_t j = 0; j < channels; ++j)
      rows.push_back(static_cast<double>(values[token * channels + j]) / multiplier);
  return rows;
}

/// The rows of `tokens` among those of `all`, which is ascending.
Rows chosen(const std::vector<double>& values, std::span<const std::int32_t> all,
            std::span<const std::int32_t> tokens, std::size_t channels) {
  Rows rows;
  rows.reserve(tokens.size() * channels);
  for (const std::int32_t token : tokens) {
    const auto at = static_cast<std::size_t>(std::ranges::lower_bound(all, token) - all.begin());
    rows.insert(rows.end(), &values[at * channels], &values[at * channels] + channels);
  }
  return rows;
}

}  // namespace

const GradientBench::Forward& GradientBench::forward(const PreparedBackward& kernel,
                                                     const attention::QuantisedHead& operands) {
  const auto [at, is_new] = forwards_.try_emplace(kernel.forward_key);
  if (is_new) {
    auto result = attention::attend(kernel.kernel.recipe, kernel.kernel.layout, operands,
                                    {.threads = threads_});
    at->second = {std::move(result.o), std::move(result.lse)};
  }
  return at->second;
}

std::span<const float> GradientBench::output_of_uncoded_p(
    const PreparedBackward& kernel, const attention::QuantisedHead& operands) {
  if (kernel.uncoded_p_key.empty()) return {};
  const auto [at, is_new] = uncoded_p_.try_emplace(kernel.uncoded_p_key);
  if (is_new)
    at->second = attention::unquantised_p_output(kernel.kernel.recipe, kernel.kernel.layout,
                                                 operands, numerics::Path::fast, threads_);
  return at->second;
}

Gradients GradientBench::run(const PreparedGradients& recipe, const PreparedBackward& kernel,
                             const GradientSample& sample) {
  const recipe::Recipe& variant = kernel.kernel.recipe;
  const layout::Layout& layout = kernel.kernel.layout;
  const auto operands = cases::operands_of(variant, layout, head_, threads_);
  const Forward& before = forward(kernel, operands);
  const attention::BackwardHead head{.head = &operands,
                                     .input = head_.values,
                                     .o = before.o,
                                     .lse = before.lse,
                                     .d_o = d_o_,
                                     .o_unquantised_p = output_of_uncoded_p(kernel, operands)};
  const auto result = attention::attend_backward(
      variant, layout, {&head, 1},
      {.threads = threads_,
       .query_blocks = blocks_of(sample.queries.tokens, layout.order, recipe.query_blocks),
       .key_blocks = blocks_of(sample.keys.tokens, layout.key_order, recipe.key_blocks)});
  const recipe::Backward& b = variant.backward;
  step_();
  return {{rows_of(result.dq.front(), sample.queries.tokens, channels_, b.dq_multiplier),
           rows_of(result.dk, sample.keys.tokens, channels_, b.dk_multiplier),
           rows_of(result.dv, sample.keys.tokens, channels_, b.dv_multiplier)}};
}

std::vector<Gradients> GradientBench::truths(const layout::Layout& layout,
                                             attention::OracleMask mask,
                                             std::span<const GradientSample* const> samples) const {
  std::vector<std::int32_t> queries, keys;
  for (const GradientSample* sample : samples) {
    queries.insert(queries.end(), sample->queries.tokens.begin(), sample->queries.tokens.end());
    keys.insert(keys.end(), sample->keys.tokens.begin(), sample->keys.tokens.end());
  }
  for (auto* list : {&queries, &keys}) {
    std::ranges::sort(*list);
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  const auto truth =
      attention::oracle_gradients(layout, head_.values, d_o_, queries, keys, mask, threads_);
  std::vector<Gradients> found;
  for (const GradientSample* sample : samples)
    found.push_back({{chosen(truth.dq, queries, sample->queries.tokens, channels_),
                      chosen(truth.dk, keys, sample->keys.tokens, channels_),
                      chosen(truth.dv, keys, sample->keys.tokens, channels_)}});
  step_();
  return found;
}

}  // namespace karat::study
