// Dense and sparse f64 attention for chosen tokens.
#include "karat/attention/oracle.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

#include "fast/dropped.hpp"
#include "karat/attention/branch.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "oracle_items.hpp"
#include "oracle_rows.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

constexpr std::size_t kKeys = 256;  // keys per chunk of the dense oracle

/// What all items read: keys and values in the order and the pieces in which rows meet them.
struct Keys {
  std::vector<video::Range> ranges;
  ScorePanels k;
  std::vector<float> v;  ///< positions x k.width()
};

Keys make_keys(const layout::Layout& layout, const HeadInput& input, OracleMask mask, int threads) {
  std::vector<std::int32_t> original(layout.order.position_of.size());
  std::iota(original.begin(), original.end(), 0);
  const bool dense = mask == OracleMask::dense;
  const auto& order = dense ? original : layout.key_order.token_at;
  auto ranges = dense ? pieces(original.size(), kKeys) : layout.blocks.key_blocks;
  ScorePanels k(input.k, layout.channels, order, ranges, threads);
  std::vector<float> v = ordered_rows(input.v, layout.channels, order, k.width());
  return {std::move(ranges), std::move(k), std::move(v)};
}

void absorb_range(OracleRows& rows, OracleChunk& chunk, const Keys& keys, std::size_t range,
                  double scale, const DropScores& drop = {}) {
  const video::Range at = keys.ranges[range];
  chunk.load(keys.k, range, &keys.v[at.begin * rows.channels], static_cast<std::size_t>(at.size()));
  absorb(rows, chunk, scale, drop);
}

void absorb_kept(OracleRows& rows, OracleChunk& chunk, const layout::Layout& layout,
                 const OracleItem& item, std::span<const std::int32_t> tokens, const Keys& keys,
                 double scale) {
  auto entries = layout.blocks.rows[item.block];
  std::sort(entries.begin(), entries.end(),
            [](const auto& x, const auto& y) { return x.key_block < y.key_block; });
  const auto position = [&](std::size_t i) {
    return std::int64_t{layout.order.position_of[tokens[item.rows[i]]]};
  };
  for (const auto& entry : entries) {
    const auto block = static_cast<std::size_t>(entry.key_block);
    if (entry.cover != mask::Cover::partial) {
      absorb_range(rows, chunk, keys, block, scale);
      continue;
    }
    const video::Range columns = keys.ranges[block];
    const auto drop = [&](BlockOf<double> s, std::size_t row) {
      // Rows that follow each other are masked together.
      for (std::size_t first = 0, end; first < s.rows; first = end) {
        const std::int64_t begin = position(row + first);
        for (end = first + 1; end < s.rows && position(row + end) == position(row + end - 1) + 1;)
          ++end;
        const video::Range queries{begin, begin + static_cast<std::int64_t>(end - first)};
        fill_dropped<double>(*layout.mask, -std::numeric_limits<double>::infinity(), queries,
                             columns, layout.mask->cover(queries, columns),
                             s.rows_from(first, end - first));
      }
    };
    absorb_range(rows, chunk, keys, block, scale, drop);
  }
}

/// Blocks that visit the same keys go together.
std::vector<OracleItem> kept_items(const layout::Layout& layout,
                                   std::span<const std::int32_t> tokens, std::size_t most_rows) {
  const auto alike = [&](int a, int b) {
    return std::ranges::equal(layout.blocks.rows[a], layout.blocks.rows[b],
                              [](const auto& x, const auto& y) {
                                return x.key_block == y.key_block && x.cover == y.cover;
                              });
  };
  return merged_items(sparse_items(layout.order, layout.blocks.query_blocks, tokens), most_rows,
                      alike);
}

}  // namespace

OracleResult oracle(const layout::Layout& layout, const HeadInput& input,
                    std::span<const std::int32_t> tokens, OracleMask mask, int threads,
                    const std::function<void(std::size_t, std::size_t)>& progress) {
  const std::size_t channels = layout.channels;
  const double scale = score_scale(channels);
  const Keys keys = make_keys(layout, input, mask, threads);
  const std::size_t width = keys.k.width();
  if (threads <= 0) threads = numerics::default_threads();
  const std::size_t most_rows = rows_per_item(tokens.size(), threads);
  const std::vector<OracleItem> items = mask == OracleMask::dense
                                            ? dense_items(tokens.size(), most_rows)
                                            : kept_items(layout, tokens, most_rows);
  OracleResult result{.o = std::vector<double>(tokens.size() * channels),
                      .lse = std::vector<double>(tokens.size())};
  std::atomic<std::size_t> done = 0;
  std::vector<OracleChunk> chunks(threads);
  numerics::parallel_for(items.size(), threads, [&](std::size_t index, int worker) {
    const OracleItem& item = items[index];
    OracleRows rows(item.rows.size(), width);
    for (std::size_t i = 0; i < rows.rows; ++i)
      std::copy_n(&input.q[tokens[item.rows[i]] * channels], channels, &rows.q[i * width]);
    OracleChunk& chunk = chunks[worker];
    if (mask == OracleMask::dense)
      for (std::size_t range = 0; range < keys.ranges.size(); ++range)
        absorb_range(rows, chunk, keys, range, scale);
    else
      absorb_kept(rows, chunk, layout, item, tokens, keys, scale);
    for (std::size_t i = 0; i < rows.rows; ++i) {
      const double* p = &rows.l[i * 8];
      const double l = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
      const std::size_t row = item.rows[i];
      result.lse[row] = l == 0 ? -std::numeric_limits<double>::infinity()
                               : (rows.m[i] + numerics::log2_f64(l)) * std::numbers::ln2;
      for (std::size_t j = 0; j < channels; ++j)
        result.o[row * channels + j] = l == 0 ? 0.0 : rows.o[i * width + j] / l;
    }
    if (progress) progress(++done, items.size());
  });
  if (mask == OracleMask::sparse) {
    const std::vector<double> branch = branch_truth(layout, input, tokens, threads);
    for (std::size_t e = 0; e < branch.size(); ++e) result.o[e] += branch[e];
  }
  return result;
}

}  // namespace karat::attention
