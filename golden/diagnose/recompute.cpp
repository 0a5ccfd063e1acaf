// One query block after the other; ranges by the recipe's own bounds, or as the hull of legal
// exp2s.
#include "recompute.hpp"

#include <algorithm>
#include <map>

#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

void put(std::span<const float> rows, const layout::Layout& layout, video::Range queries,
         std::size_t channels, std::vector<float>& per_token) {
  for (std::int64_t i = 0; i < queries.size(); ++i)
    if (const std::int32_t token = layout.order.token_at[queries.begin + i]; token >= 0)
      std::copy_n(&rows[i * channels], channels, &per_token[token * channels]);
}

/// Legal ranges of one block by the recipe's own bounds.
void add_block_bounds(const Trial& trial, const bounds::HeadBounds& head_bounds,
                      const attention::BlockTap& tap, Recomputed& rows) {
  const layout::Layout& layout = *trial.layout;
  const bounds::BlockBounds block = head_bounds.of(
      tap, bounds::gather(rows.result.o, layout, tap.queries, layout.channels),
      bounds::gather(rows.result.lse, layout, tap.queries, 1), bounds::Detail::outputs);
  put(block.out_low, layout, tap.queries, layout.channels, rows.bounds.o_low);
  put(block.out_high, layout, tap.queries, layout.channels, rows.bounds.o_high);
  put(block.row_l_low, layout, tap.queries, 1, rows.bounds.l_low);
  put(block.row_l_high, layout, tap.queries, 1, rows.bounds.l_high);
  put(block.lse_low, layout, tap.queries, 1, rows.bounds.lse_low);
  put(block.lse_high, layout, tap.queries, 1, rows.bounds.lse_high);
}

/// Kernel faults have no bounds of their own: legal exp2s at both ends and in turns, their hull.
void add_hull(const Trial& trial, const attention::BlockTap& tap, Recomputed& rows) {
  const layout::Layout& layout = *trial.layout;
  constexpr bounds::Freedom kFree{};
  for (int kernel = 0; kernel < 6; ++kernel) {
    std::uint32_t turn = static_cast<std::uint32_t>(kernel) * 2654435761u;
    const KernelExp2 exp2 = [&](float, float rounded) {
      turn = turn * 1664525u + 1013904223u;
      const bool high = kernel == 0 || (kernel > 1 && (turn >> 31) != 0);
      return rounded * (high ? kFree.high : kFree.low);
    };
    const KernelRows made =
        run_kernel(trial.recipe, layout, *trial.operands, tap, trial.faults, exp2);
    for (std::int64_t i = 0; i < tap.queries.size(); ++i) {
      const std::int32_t token = layout.order.token_at[tap.queries.begin + i];
      if (token < 0) continue;
      for (std::size_t j = 0; j < layout.channels; ++j) {
        const std::size_t e = token * layout.channels + j;
        const float value = made.out[i * layout.channels + j];
        rows.bounds.o_low[e] = std::min(rows.bounds.o_low[e], value);
        rows.bounds.o_high[e] = std::max(rows.bounds.o_high[e], value);
      }
    }
  }
}

/// Every range is the value itself.
bounds::OutputBounds narrowest(const attention::HeadResult& result) {
  return {.o_low = result.o,
          .o_high = result.o,
          .l_low = result.l,
          .l_high = result.l,
          .lse_low = result.lse,
          .lse_high = result.lse};
}

void add_bounds(const Trial& trial, Recomputed& rows) {
  try {
    const bounds::HeadBounds head_bounds(trial.recipe, *trial.layout, *trial.operands, 1);
    for (const attention::BlockTap& tap : rows.result.taps)
      add_block_bounds(trial, head_bounds, tap, rows);
  } catch (const Error&) {  // arithmetic that no recipe has: only equal bits count
    rows.bounds = narrowest(rows.result);
  }
}

/// Nothing is computed: a trial that moves all wanted tokens elsewhere.
Recomputed nothing_computed(const layout::Layout& layout) {
  const std::size_t tokens = layout.order.position_of.size();
  return {.result = {.o = std::vector<float>(tokens * layout.channels),
                     .lse = std::vector<float>(tokens),
                     .m = std::vector<float>(tokens),
                     .l = std::vector<float>(tokens),
                     .taps = {}},
          .computed = std::vector<bool>(tokens, false),
          .bounds = {}};
}

}  // namespace

std::vector<int> blocks_of(const layout::Layout& layout, const std::vector<std::int32_t>& tokens,
                           std::size_t most) {
  std::map<int, std::size_t> count;
  const auto& blocks = layout.blocks.query_blocks;
  for (const std::int32_t token : tokens) {
    const std::int64_t position = layout.order.position_of[token];
    const auto after = std::upper_bound(
        blocks.begin(), blocks.end(), position,
        [](std::int64_t at, const video::Range& range) { return at < range.begin; });
    if (after != blocks.begin() && position < (after - 1)->end)
      ++count[static_cast<int>(after - blocks.begin()) - 1];
  }
  std::vector<int> chosen;
  for (const auto& [block, tokens_in_it] : count) chosen.push_back(block);
  std::stable_sort(chosen.begin(), chosen.end(), [&](int a, int b) { return count[a] > count[b]; });
  chosen.resize(std::min(chosen.size(), most));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

Recomputed recompute(const Trial& trial, const std::vector<int>& blocks, Ranges ranges) {
  const layout::Layout& layout = *trial.layout;
  if (blocks.empty()) return nothing_computed(layout);
  const bool own_kernel = !trial.faults.empty() || trial.exp2;
  const bool free = ranges == Ranges::yes && bounds::leaves_freedom(trial.recipe);
  attention::AttendOptions options{.threads = 1, .query_blocks = blocks, .tapped = {}};
  options.score_factor = trial.score_factor;
  if (own_kernel || free) options.tapped = blocks;
  Recomputed rows{.result = attention::attend(trial.recipe, layout, *trial.operands, options),
                  .computed = std::vector<bool>(layout.order.position_of.size(), false),
                  .bounds = {}};
  for (const int block : blocks)
    for (std::int64_t i = layout.blocks.query_blocks[block].begin;
         i < layout.blocks.query_blocks[block].end; ++i)
      if (layout.order.token_at[i] >= 0) rows.computed[layout.order.token_at[i]] = true;
  if (own_kernel)
    for (const attention::BlockTap& tap : rows.result.taps) {
      const KernelRows made =
          run_kernel(trial.recipe, layout, *trial.operands, tap, trial.faults, trial.exp2);
      put(made.out, layout, tap.queries, layout.channels, rows.result.o);
      put(made.l, layout, tap.queries, 1, rows.result.l);
    }
  if (!free) return rows;
  rows.bounds = narrowest(rows.result);
  if (own_kernel)
    for (const attention::BlockTap& tap : rows.result.taps) add_hull(trial, tap, rows);
  else
    add_bounds(trial, rows);
  return rows;
}

}  // namespace karat::golden
