// Dense and sparse f64 attention for chosen tokens.
#include "karat/attention/oracle.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

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
                 const OracleItem& item, std::span<const std::int32_t> tokens,
                 const std::vector<float>& k, const std::vector<float>& v, double scale) {
  auto entries = layout.blocks.rows[item.block];
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
  const std::size_t padded = (channels + kChannelStep - 1) / kChannelStep * kChannelStep;
  const double scale = score_scale(channels);
  std::vector<std::int32_t> original(layout.order.position_of.size());
  std::iota(original.begin(), original.end(), 0);
  const auto& order = mask == OracleMask::dense ? original : layout.key_order.token_at;
  const std::vector<float> k = ordered_rows(input.k, channels, order, padded);
  const std::vector<float> v = ordered_rows(input.v, channels, order, padded);
  const std::vector<OracleItem> items =
      mask == OracleMask::dense ? dense_items(tokens.size())
                                : sparse_items(layout.order, layout.blocks.query_blocks, tokens);
  OracleResult result{.o = std::vector<double>(tokens.size() * channels),
                      .lse = std::vector<double>(tokens.size())};
  std::atomic<std::size_t> done = 0;
  numerics::parallel_for(items.size(), threads, [&](std::size_t index, int) {
    const OracleItem& item = items[index];
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
  if (mask == OracleMask::sparse) {
    const std::vector<double> branch = branch_truth(layout, input, tokens, threads);
    for (std::size_t e = 0; e < branch.size(); ++e) result.o[e] += branch[e];
  }
  return result;
}

}  // namespace karat::attention
