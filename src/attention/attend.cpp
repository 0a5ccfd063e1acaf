// Runs the query blocks of one head in parallel, with either engine.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>
#include <string>

#include "engine.hpp"
#include "fast/visit.hpp"
#include "karat/attention/phases.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::attention {
namespace {

/// What a tap records.
struct TapContents {
  Workings workings;
  bool stages;
};

/// Sizes a tap for a query block; the memory of an earlier one is used again.
void prepare_tap(const Launch& launch, int query_block, TapContents contents, BlockTap& tap) {
  const mask::BlockMap& blocks = launch.layout.blocks;
  const bool has_workings = contents.workings == Workings::tapped;
  const bool promoted = launch.recipe.pv.promote_every != 0;
  tap.query_block = query_block;
  tap.queries = blocks.query_blocks[query_block];
  tap.key_block.clear();
  tap.key_position.clear();
  tap.column_begin.assign(1, 0);
  tap.product_begin.clear();
  if (has_workings && promoted) tap.product_begin.assign(1, 0);
  for (const auto& entry : blocks.rows[query_block]) {
    const video::Range keys = blocks.key_blocks[entry.key_block];
    tap.key_block.push_back(entry.key_block);
    tap.column_begin.push_back(tap.column_begin.back() + keys.size());
    for (std::int64_t key = keys.begin; key < keys.end; ++key)
      tap.key_position.push_back(static_cast<std::int32_t>(key));
    if (!tap.product_begin.empty())
      tap.product_begin.push_back(tap.product_begin.back() +
                                  static_cast<std::int32_t>(launch.segments(keys).size()));
  }
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t scores = rows * tap.key_position.size();
  const std::size_t visits = tap.key_block.size(), outputs = rows * launch.channels;
  const bool stages = contents.stages || !has_workings;
  const bool skips = launch.recipe.skip.rule != recipe::SkipRule::never;
  tap.a.resize(stages || skips ? scores : 0);
  tap.s.resize(stages || skips ? scores : 0);
  tap.p.resize(scores);
  tap.p_codes.resize(stages && quant::leaves_scales(launch.p_rule) ? scores : 0);
  tap.m.resize(visits * rows);
  tap.l.resize(visits * rows);
  tap.o.resize(stages || !promoted ? visits * outputs : 0);
  tap.x.resize(has_workings ? scores : 0);
  tap.t.resize(tap.product_begin.empty() ? 0 : tap.product_begin.back() * outputs);
}

std::vector<int> blocks_to_run(const layout::Layout& layout, const AttendOptions& options) {
  const auto count = static_cast<int>(layout.blocks.query_blocks.size());
  std::vector<int> chosen = options.query_blocks;
  if (chosen.empty()) {
    chosen.resize(count);
    std::iota(chosen.begin(), chosen.end(), 0);
  }
  for (const auto& list : {chosen, options.tapped})
    for (const int block : list)
      if (block < 0 || block >= count)
        throw Error(ErrorKind::usage, "query block " + std::to_string(block),
                    "there are " + std::to_string(count) + " query blocks",
                    "choose one from 0 to " + std::to_string(count - 1));
  return chosen;
}

/// A v scale that varies along the keys can only enter where T is promoted, one scale at a time.
void require_one_scale_per_segment(const Launch& launch) {
  if (!launch.v_scaled_per_block) return;
  if (launch.recipe.pv.promote_every == 0)
    throw Error(ErrorKind::usage, "pv.promote_every",
                "0 leaves no place for scales of v that vary along the keys",
                "promote every block");
  for (const video::Range keys : launch.layout.blocks.key_blocks)
    for (const video::Range segment : launch.segments(keys))
      for (std::int64_t key = segment.begin; key < segment.end; ++key)
        if (launch.head.v.grouping.group(key, 0) != launch.head.v.grouping.group(segment.begin, 0))
          throw Error(ErrorKind::usage, "v.tile", "a block of keys holds several scales of v",
                      "let v's tile be a multiple of the mask's tile");
}

/// One factor f per row and launch is what a kernel with a fused multiply-add has.
void require_one_factor(const Launch& launch) {
  if (launch.recipe.qk.scale_order != recipe::ScaleOrder::fused) return;
  for (const auto* operand : {&launch.head.q, &launch.head.k})
    if (operand->scales.size() > 1)
      throw Error(ErrorKind::usage, "qk.scale_order",
                  "\"fused\" needs one scale for all of q and one for all of k",
                  "set q.group and k.group to \"tensor\"");
}

/// Consecutive blocks that run together: untapped ones with the same visits, fewer where the
/// workers would not all have several groups.
std::vector<std::span<const int>> group_blocks(const Launch& launch, std::span<const int> blocks,
                                               std::span<const int> tapped, std::size_t threads) {
  const auto is_tapped = [&](int block) {
    return std::binary_search(tapped.begin(), tapped.end(), block);
  };
  const std::size_t most = std::clamp<std::size_t>(blocks.size() / (8 * threads), 1, kTogether);
  std::vector<std::span<const int>> groups;
  for (std::size_t begin = 0; begin < blocks.size(); begin += groups.back().size()) {
    std::size_t size = 1;
    while (size < most && begin + size < blocks.size() && !is_tapped(blocks[begin]) &&
           !is_tapped(blocks[begin + size]) &&
           visit_the_same(launch, blocks[begin], blocks[begin + size]))
      ++size;
    groups.push_back(blocks.subspan(begin, size));
  }
  return groups;
}

/// attend(); `phases` may be null.
HeadResult run(const recipe::Recipe& recipe, const layout::Layout& layout,
               const QuantisedHead& head, const AttendOptions& options, PhaseSeconds* phases) {
  const Launch launch(recipe, layout, head, options.score_factor.value_or(1.0));
  require_one_scale_per_segment(launch);
  require_one_factor(launch);
  const std::vector<int> chosen = blocks_to_run(layout, options);
  const auto tokens = layout.order.position_of.size();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  HeadResult result{.o = std::vector<float>(tokens * layout.channels, kNaN),
                    .lse = std::vector<float>(tokens, kNaN),
                    .m = std::vector<float>(tokens, kNaN),
                    .l = std::vector<float>(tokens, kNaN),
                    .taps = {},
                    .saturated_p_codes = 0,
                    .small_blocks = {}};
  if (recipe.skip.rule != recipe::SkipRule::never)
    result.small_blocks.resize(layout.blocks.query_blocks.size());
  std::vector<int> tapped = options.tapped;
  std::sort(tapped.begin(), tapped.end());
  const bool fast = options.path == numerics::Path::fast;
  const auto contents = [&](int block) {
    return TapContents{fast ? options.workings : Workings::dropped,
                       std::ranges::binary_search(options.staged, block)};
  };
  if (!options.on_tap)
    for (const int block : tapped)
      prepare_tap(launch, block, contents(block), result.taps.emplace_back());

  const int threads = options.threads > 0 ? options.threads : numerics::default_threads();
  PhaseClock packing;
  if (phases != nullptr) packing.enter(Phase::pack_keys);
  const PackedHead packed = fast ? pack_head(launch, chosen, threads) : PackedHead{};
  if (phases != nullptr) packing.stop();
  std::vector<FastScratch> scratch(fast ? threads : 0);
  for (FastScratch& s : scratch)
    if (phases != nullptr) s.clock.emplace();
  std::vector<BlockTap> passing(options.on_tap ? threads : 0);
  std::atomic<std::int64_t> saturated = 0;
  std::atomic<std::size_t> done = 0;
  const auto groups = group_blocks(launch, chosen, tapped, static_cast<std::size_t>(threads));
  numerics::parallel_for(groups.size(), threads, [&](std::size_t item, int worker) {
    const std::span<const int> blocks = groups[item];
    const auto at = std::lower_bound(tapped.begin(), tapped.end(), blocks.front());
    const bool is_tapped = at != tapped.end() && *at == blocks.front();
    if (is_tapped && options.on_tap)
      prepare_tap(launch, blocks.front(), contents(blocks.front()), passing[worker]);
    BlockTap* tap = !is_tapped       ? nullptr
                    : options.on_tap ? &passing[worker]
                                     : &result.taps[at - tapped.begin()];
    std::int64_t count = 0;
    if (fast)
      run_blocks_fast(launch, packed, blocks, scratch[worker], result, tap, count);
    else
      for (const int block : blocks) run_block_scalar(launch, block, result, tap, count);
    saturated += count;
    if (is_tapped && options.on_tap) options.on_tap(std::move(passing[worker]), result);
    for (std::size_t b = 0; options.progress && b < blocks.size(); ++b)
      options.progress(++done, chosen.size());
  });
  result.saturated_p_codes = saturated;
  if (phases != nullptr) *phases += packing.seconds();
  for (const FastScratch& s : scratch)
    if (s.clock) *phases += s.clock->seconds();
  return result;
}

}  // namespace

HeadResult attend(const recipe::Recipe& recipe, const layout::Layout& layout,
                  const QuantisedHead& head, const AttendOptions& options) {
  return run(recipe, layout, head, options, nullptr);
}

HeadResult attend_by_phases(const recipe::Recipe& recipe, const layout::Layout& layout,
                            const QuantisedHead& head, const AttendOptions& options,
                            PhaseSeconds& seconds) {
  return run(recipe, layout, head, options, &seconds);
}

}  // namespace karat::attention
