// Every query block is tapped while it runs, turned into bounds, and dropped unless it was asked
// for.
#include "karat/bounds/head_work.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <optional>

namespace karat::bounds {
namespace {

/// With their memory.
void drop_workings(attention::BlockTap& tap) {
  tap.x = std::vector<float>();
  tap.t = std::vector<float>();
  tap.product_begin = std::vector<std::int32_t>();
}

void scatter(const std::vector<float>& rows, const layout::Layout& layout, video::Range queries,
             std::size_t channels, std::vector<float>& per_token) {
  for (std::int64_t i = 0; i < queries.size(); ++i)
    if (const std::int32_t token = layout.order.token_at[queries.begin + i]; token >= 0)
      std::copy_n(&rows[i * channels], channels, &per_token[token * channels]);
}

}  // namespace

std::vector<float> gather(std::span<const float> per_token, const layout::Layout& layout,
                          video::Range queries, std::size_t channels) {
  std::vector<float> rows(queries.size() * channels, std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t i = 0; i < queries.size(); ++i)
    if (const std::int32_t token = layout.order.token_at[queries.begin + i]; token >= 0)
      std::copy_n(&per_token[token * channels], channels, &rows[i * channels]);
  return rows;
}

BoundedResult attend_with_bounds(const recipe::Recipe& recipe, const layout::Layout& layout,
                                 const attention::QuantisedHead& head, const std::vector<int>& taps,
                                 int threads, const Steps& progress, Freedom allowed,
                                 const BranchRange* branch) {
  attention::AttendOptions options{.threads = threads, .tapped = taps, .progress = progress};
  const Freedom freedom = freedom_of(recipe, allowed);
  if (!leaves_freedom(freedom)) return {attention::attend(recipe, layout, head, options), {}};

  options.workings = attention::Workings::tapped;
  options.staged = taps;
  const std::size_t tokens = layout.order.position_of.size();
  const HeadBounds head_bounds(recipe, layout, head, threads, freedom, branch);
  OutputBounds bounds;
  for (auto* rows : {&bounds.l_low, &bounds.l_high, &bounds.lse_low, &bounds.lse_high})
    rows->resize(tokens);
  for (auto* rows : {&bounds.o_low, &bounds.o_high}) rows->resize(tokens * layout.channels);
  std::mutex mutex;
  std::vector<attention::BlockTap> kept;
  options.tapped.resize(layout.blocks.query_blocks.size());
  std::iota(options.tapped.begin(), options.tapped.end(), 0);
  options.on_tap = [&](attention::BlockTap&& tap, const attention::HeadResult& result) {
    const BlockBounds block =
        head_bounds.of(tap, gather(result.o, layout, tap.queries, layout.channels),
                       gather(result.lse, layout, tap.queries, 1), Detail::outputs);
    scatter(block.out_low, layout, tap.queries, layout.channels, bounds.o_low);
    scatter(block.out_high, layout, tap.queries, layout.channels, bounds.o_high);
    scatter(block.row_l_low, layout, tap.queries, 1, bounds.l_low);
    scatter(block.row_l_high, layout, tap.queries, 1, bounds.l_high);
    scatter(block.lse_low, layout, tap.queries, 1, bounds.lse_low);
    scatter(block.lse_high, layout, tap.queries, 1, bounds.lse_high);
    if (!std::binary_search(taps.begin(), taps.end(), tap.query_block)) return;
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(tap));
    drop_workings(kept.back());
  };
  BoundedResult result{attention::attend(recipe, layout, head, options), std::move(bounds)};
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return a.query_block < b.query_block; });
  result.golden.taps = std::move(kept);
  return result;
}

}  // namespace karat::bounds
