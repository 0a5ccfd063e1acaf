// FlashAttention-3's rules for dividing keys: hopper/heuristics.h, get_num_splits of flash_api.cpp,
// flash_prepare_scheduler.cu, and the grid of flash_fwd_combine_launch_template.h.
#include <algorithm>
#include <cmath>
#include <utility>

#include "division.hpp"
#include "karat/hopper/plan.hpp"

namespace karat::hopper {
namespace {

constexpr int kMostSplits = 128;
constexpr double kL2Bytes = 50.0 * 1048576;  // what the rule takes L2 for, on any board
constexpr int kMostPrepared = 992;           // sequences that the kernel in front can look at

std::int64_t rounds(std::int64_t count, std::int64_t size) { return (count + size - 1) / size; }

}  // namespace

int choose_splits(std::int64_t query_tiles, int key_blocks, int sms) {
  if (double(query_tiles) >= 0.8 * sms || key_blocks <= 4) return 1;
  const int most = std::min({kMostSplits, sms, key_blocks});
  const auto efficiency = [&](int splits) {
    const double waves = double(query_tiles) * splits / sms;
    return waves / std::ceil(waves);
  };
  double best = 0;
  for (int splits = 1; splits <= most; ++splits) best = std::max(best, efficiency(splits));
  for (int splits = 1; splits <= most; ++splits) {
    if (efficiency(splits) >= 0.85 * best) return splits;
  }
  return 1;
}

KeySplits key_splits(const Plan& plan, const Shape& shape, int sms) {
  KeySplits out;
  if (plan.division) return *plan.division;
  if (plan.split_rule == Splits::never) return out;
  // Query heads that share K and V are packed into the rows of one tile.
  const std::int64_t rows = shape.queries * (shape.heads / shape.key_heads());
  const std::int64_t of_head = rounds(rows, plan.block_q);
  const int key_blocks = static_cast<int>(rounds(shape.keys, plan.block_k));
  const bool prepared = plan.lengths == Lengths::varying && shape.batch <= kMostPrepared;
  const std::int64_t tiles = of_head * shape.key_heads() * (prepared ? 1 : shape.batch);
  const double head_bytes =
      double(shape.keys) * plan.head_dim * (bytes_of(plan.qk) + bytes_of(plan.pv));
  const bool few = double(tiles) < 0.8 * sms;
  if (few) {
    out.most = choose_splits(tiles, key_blocks, sms);
  } else if (head_bytes > kL2Bytes && of_head >= 2 * sms && shape.causality == Causality::none) {
    out.most = std::min(static_cast<int>(std::ceil(head_bytes / kL2Bytes)), kMostSplits);
  }
  out.taken = out.most;
  if (prepared && out.most > 1) {
    const double blocks = double(of_head) * key_blocks * shape.batch * shape.key_heads();
    const auto of_sm = std::max<std::int64_t>(1, std::llround(std::ceil(1.1 * blocks / sms)));
    out.taken = static_cast<int>(std::clamp<std::int64_t>(rounds(key_blocks, of_sm), 1, out.most));
  }
  return out;
}

DividedLaunch divided(Plan plan, const std::vector<TileRun>& runs, KeySplits division) {
  // hopper/flash_fwd_launch_template.h: the kernel that can divide keys has no clusters.
  if (division.most > 1) plan.multicast = Multicast::none;
  if (division.taken > 1) plan.o_bytes = 4;
  DividedLaunch out{.plan = std::move(plan), .runs = runs};
  for (TileRun& run : out.runs) {
    const int each = static_cast<int>(rounds(run.blocks, division.taken));
    run.tiles *= rounds(run.blocks, std::max(1, each)), run.blocks = each;
  }
  return out;
}

double combine_ctas(const Plan& plan, const Shape& shape) {
  const int columns = plan.head_dim <= 64 ? 64 : 128, rows = plan.head_dim <= 64 ? 16 : 8;
  return double(rounds(shape.queries * shape.heads, rows)) *
         double(rounds(plan.head_dim, columns)) * shape.batch;
}

}  // namespace karat::hopper
