// Dense and sparse f64 attention for chosen tokens.
#include "karat/attention/oracle.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <numeric>

#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "oracle_rows.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

constexpr std::size_t kRows = 128;  // query rows per work item
constexpr std::size_t kKeys = 256;  // keys per chunk of the dense oracle
constexpr std::size_t kPad = 16;    // the kernels want channels in multiples of this

/// A group of rows that share their key chunks.
struct Item {
  std::vector<std::size_t> rows;  ///< indices into the asked tokens
  int query_block = 0;            ///< sparse only
};

std::vector<Item> dense_items(std::size_t rows) {
  std::vector<Item> items;
  for (std::size_t i = 0; i < rows; ++i) {
    if (i % kRows == 0) items.emplace_back();
    items.back().rows.push_back(i);
  }
  return items;
}

std::vector<Item> sparse_items(const layout::Layout& layout, std::span<const std::int32_t> tokens) {
  std::map<int, Item> by_block;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::int64_t position = layout.order.position_of[tokens[i]];
    const auto& blocks = layout.blocks.query_blocks;
    const auto after = std::upper_bound(
        blocks.begin(), blocks.end(), position,
        [](std::int64_t value, const video::Range& range) { return value < range.begin; });
    const auto block = static_cast<int>(after - blocks.begin()) - 1;
    by_block[block].query_block = block;
    by_block[block].rows.push_back(i);
  }
  std::vector<Item> items;
  for (auto& [block, item] : by_block) items.push_back(std::move(item));
  return items;
}

void absorb_dense(OracleRows& rows, OracleChunk& chunk, const std::vector<float>& k,
                  const std::vector<float>& v, double scale) {
  const std::size_t keys = k.size() / rows.channels;
  for (std::size_t begin = 0; begin < keys; begin += kKeys) {
    chunk.load(&k[begin * rows.channels], &v[begin * rows.channels], std::min(kKeys, keys - begin),
               rows.channels);
    absorb(rows, chunk, scale);
  }
}

void absorb_kept(OracleRows& rows, OracleChunk& chunk, const layout::Layout& layout,
                 const Item& item, std::span<const std::int32_t> tokens,
                 const std::vector<float>& k, const std::vector<float>& v, double scale) {
  auto entries = layout.blocks.rows[item.query_block];
  std::sort(entries.begin(), entries.end(),
            [](const auto& x, const auto& y) { return x.key_block < y.key_block; });
  for (const auto& entry : entries) {
    const video::Range keys = layout.blocks.key_blocks[entry.key_block];
    chunk.load(&k[keys.begin * rows.channels], &v[keys.begin * rows.channels], keys.size(),
               rows.channels);
    if (entry.cover == mask::Cover::partial) {
      chunk.dropped.resize(rows.rows * chunk.keys);
      for (std::size_t i = 0; i < rows.rows; ++i)
        for (std::size_t n = 0; n < chunk.keys; ++n)
          chunk.dropped[i * chunk.keys + n] =
              !layout.mask->keeps(layout.order.position_of[tokens[item.rows[i]]],
                                  keys.begin + static_cast<std::int64_t>(n));
    }
    absorb(rows, chunk, scale);
  }
}

}  // namespace

OracleResult oracle(const layout::Layout& layout, const HeadInput& input,
                    std::span<const std::int32_t> tokens, OracleMask mask, int threads,
                    const std::function<void(std::size_t, std::size_t)>& progress) {
  const std::size_t channels = layout.channels;
  const std::size_t padded = (channels + kPad - 1) / kPad * kPad;
  const double scale = score_scale(channels);
  std::vector<std::int32_t> original(layout.order.position_of.size());
  std::iota(original.begin(), original.end(), 0);
  const auto& order = mask == OracleMask::dense ? original : layout.key_order.token_at;
  const std::vector<float> k = ordered_rows(input.k, channels, order, padded);
  const std::vector<float> v = ordered_rows(input.v, channels, order, padded);
  const std::vector<Item> items =
      mask == OracleMask::dense ? dense_items(tokens.size()) : sparse_items(layout, tokens);
  OracleResult result{.o = std::vector<double>(tokens.size() * channels),
                      .lse = std::vector<double>(tokens.size())};
  std::atomic<std::size_t> done = 0;
  numerics::parallel_for(items.size(), threads, [&](std::size_t index, int) {
    const Item& item = items[index];
    OracleRows rows(item.rows.size(), padded);
    for (std::size_t i = 0; i < rows.rows; ++i)
      std::copy_n(&input.q[tokens[item.rows[i]] * channels], channels, &rows.q[i * padded]);
    OracleChunk chunk;
    if (mask == OracleMask::dense)
      absorb_dense(rows, chunk, k, v, scale);
    else
      absorb_kept(rows, chunk, layout, item, tokens, k, v, scale);
    for (std::size_t i = 0; i < rows.rows; ++i) {
      const double* p = &rows.l[i * 8];
      const double l = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
      const std::size_t row = item.rows[i];
      result.lse[row] = l == 0 ? -std::numeric_limits<double>::infinity()
                               : (rows.m[i] + numerics::log2_f64(l)) * std::numbers::ln2;
      for (std::size_t j = 0; j < channels; ++j)
        result.o[row * channels + j] = l == 0 ? 0.0 : rows.o[i * padded + j] / l;
    }
    if (progress) progress(++done, items.size());
  });
  return result;
}

}  // namespace karat::attention
