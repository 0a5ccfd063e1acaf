// Gradients in f64: rows of queries meet all their keys for dq, rows of keys all their queries for
// dk and dv. Both meetings are one operation with the sides swapped.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

#include "karat/attention/backward.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "oracle_items.hpp"
#include "oracle_rows.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

constexpr std::size_t kChunk = 256;      // rows met at a time by the dense oracle
constexpr std::size_t kDenseRows = 256;  // that meet them together

/// Rows whose products are scores (q or k) and dP (dO or v), in one order of positions.
struct Side {
  std::vector<float> score, dp;
  std::vector<double> lse2, delta;  ///< of queries; else empty
  bool queries() const { return !lse2.empty(); }
};

/// Per token of the queries: the log-sum-exp in log2 units (+Inf: no keys) and delta.
struct QueryRows {
  std::vector<double> lse2, delta;
};

QueryRows query_rows(const layout::Layout& layout, const HeadInput& input,
                     std::span<const float> d_o, std::span<const std::int32_t> tokens,
                     OracleMask mask, int threads) {
  const std::size_t d = layout.channels;
  const OracleResult forward = oracle(layout, input, tokens, mask, threads);
  const auto all = static_cast<std::size_t>(layout.order.tokens());
  QueryRows rows{.lse2 = std::vector<double>(all), .delta = std::vector<double>(all)};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool none = std::isinf(forward.lse[i]);
    rows.lse2[tokens[i]] =
        none ? std::numeric_limits<double>::infinity() : forward.lse[i] * std::numbers::log2e;
    for (std::size_t j = 0; j < d; ++j)
      rows.delta[tokens[i]] += forward.o[i * d + j] * d_o[tokens[i] * d + j];
  }
  return rows;
}

/// What a group of rows gathers: from scores' gradients, and (keys alone) from P.
struct Gathered {
  std::size_t rows;
  std::vector<double> score, dp;  ///< rows x channels, the rows themselves
  std::vector<double> lse2, delta;
  std::vector<double> from_ds, from_p;
};

/// Buffers of one worker.
struct MeetingScratch {
  Lines<double> panels, p, ds;
};

std::vector<std::int32_t> ascending(std::size_t count) {
  std::vector<std::int32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

/// Rows of one side meet ranges of the other's.
class Meeting {
 public:
  Meeting(const Side& rows, const Side& others, std::size_t channels, double scale,
          std::vector<video::Range> ranges, int threads)
      : rows_(rows),
        others_(others),
        channels_(channels),
        scale_(scale),
        ranges_(std::move(ranges)),
        score_(others.score, channels, ascending(others.score.size() / channels), ranges_, threads),
        dp_(others.dp, channels, ascending(others.dp.size() / channels), ranges_, threads) {}

  std::size_t ranges() const { return ranges_.size(); }

  Gathered gather(std::span<const std::int64_t> at) const {
    Gathered g{.rows = at.size()};
    for (auto* x : {&g.score, &g.dp, &g.from_ds}) x->assign(g.rows * channels_, 0.0);
    if (!rows_.queries()) g.from_p.assign(g.rows * channels_, 0.0);
    for (std::size_t i = 0; i < at.size(); ++i) {
      const auto from = static_cast<std::size_t>(at[i]) * channels_;
      std::copy_n(&rows_.score[from], channels_, &g.score[i * channels_]);
      std::copy_n(&rows_.dp[from], channels_, &g.dp[i * channels_]);
      if (!rows_.queries()) continue;
      g.lse2.push_back(rows_.lse2[at[i]]);
      g.delta.push_back(rows_.delta[at[i]]);
    }
    return g;
  }

  /// The rows meet a range of the other side. keeps(i, n): row i and the range's n-th other.
  template <typename Keeps>
  void absorb(Gathered& g, std::size_t range, MeetingScratch& scratch, const Keeps& keeps) const {
    const auto begin = static_cast<std::size_t>(ranges_[range].begin);
    const auto count = static_cast<std::size_t>(ranges_[range].size());
    const std::size_t stride = whole_panels(count);
    const auto products = [&](const std::vector<double>& x, const ScorePanels& y, double scale,
                              Lines<double>& to) {
      y.widen_range(range, scratch.panels);
      to.reserve(g.rows * stride);
      make_scores(x.data(), scratch.panels.data(), g.rows, stride, channels_, scale, to.data());
    };
    products(g.score, score_, scale_, scratch.p);
    products(g.dp, dp_, 1.0, scratch.ds);
    const bool own = rows_.queries();
    for (std::size_t i = 0; i < g.rows; ++i) {
      const std::span p(&scratch.p[i * stride], count), ds(&scratch.ds[i * stride], count);
      for (std::size_t n = 0; n < count; ++n)
        p[n] = p[n] - (own ? g.lse2[i] : others_.lse2[begin + n]);
      numerics::exp2_f64(p, p);
      for (std::size_t n = 0; n < count; ++n) {
        if (!keeps(i, n))
          p[n] = ds[n] = 0.0;
        else
          ds[n] = p[n] * (ds[n] - (own ? g.delta[i] : others_.delta[begin + n]));
      }
    }
    const auto weighted = [&](const Lines<double>& by, const std::vector<float>& y,
                              std::vector<double>& sum) {
      make_value_panels(&y[begin * channels_], count, channels_, scratch.panels);
      add_weighted(by.data(), scratch.panels.data(), g.rows, stride, count, channels_, sum.data());
    };
    weighted(scratch.ds, others_.score, g.from_ds);
    if (!own) weighted(scratch.p, others_.dp, g.from_p);
  }

 private:
  const Side& rows_;
  const Side& others_;
  std::size_t channels_;
  double scale_;
  std::vector<video::Range> ranges_;
  ScorePanels score_, dp_;  ///< of the others
};

/// Both sides in the order of positions or of tokens.
struct Sides {
  Side queries, keys;
  std::size_t width;
};

Sides make_sides(const layout::Layout& layout, const HeadInput& input, std::span<const float> d_o,
                 const QueryRows& rows, OracleMask mask) {
  std::vector<std::int32_t> original(layout.order.position_of.size());
  std::iota(original.begin(), original.end(), 0);
  const bool dense = mask == OracleMask::dense;
  const auto& query_order = dense ? original : layout.order.token_at;
  const auto& key_order = dense ? original : layout.key_order.token_at;
  const std::size_t d = layout.channels, width = whole_panels(d);
  Sides sides{.queries = {.score = ordered_rows(input.q, d, query_order, width),
                          .dp = ordered_rows(d_o, d, query_order, width)},
              .keys = {.score = ordered_rows(input.k, d, key_order, width),
                       .dp = ordered_rows(input.v, d, key_order, width)},
              .width = width};
  for (const std::int32_t token : query_order) {
    sides.queries.lse2.push_back(token < 0 ? std::numeric_limits<double>::infinity()
                                           : rows.lse2[token]);
    sides.queries.delta.push_back(token < 0 ? 0.0 : rows.delta[token]);
  }
  return sides;
}

/// Per block of keys the query blocks that visit it, ascending.
std::vector<std::vector<std::int32_t>> transposed_map(const mask::BlockMap& blocks) {
  std::vector<std::vector<std::int32_t>> columns(blocks.key_blocks.size());
  for (std::size_t i = 0; i < blocks.rows.size(); ++i)
    for (const auto& entry : blocks.rows[i])
      columns[entry.key_block].push_back(static_cast<std::int32_t>(i));
  return columns;
}

std::vector<std::vector<std::int32_t>> ascending_map(const mask::BlockMap& blocks) {
  std::vector<std::vector<std::int32_t>> rows(blocks.rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const auto& entry : blocks.rows[i]) rows[i].push_back(entry.key_block);
    std::sort(rows[i].begin(), rows[i].end());
  }
  return rows;
}

}  // namespace

OracleGradients oracle_gradients(const layout::Layout& layout, const HeadInput& input,
                                 std::span<const float> d_o,
                                 std::span<const std::int32_t> query_tokens,
                                 std::span<const std::int32_t> key_tokens, OracleMask mask,
                                 int threads) {
  const std::size_t d = layout.channels;
  std::vector<std::int32_t> all(layout.order.position_of.size());
  std::iota(all.begin(), all.end(), 0);
  const std::span<const std::int32_t> needed = key_tokens.empty() ? query_tokens : all;
  const QueryRows rows = query_rows(layout, input, d_o, needed, mask, threads);
  const Sides sides = make_sides(layout, input, d_o, rows, mask);
  const bool dense = mask == OracleMask::dense;
  const double root = 1.0 / std::sqrt(static_cast<double>(d));

  /// One side's rows: from_ds, from_p receive their gradients in the order of `tokens`.
  const auto run = [&](const Side& own, const Side& others, const video::TokenOrder& order,
                       std::span<const std::int32_t> tokens,
                       const std::vector<video::Range>& blocks,
                       const std::vector<video::Range>& other_blocks,
                       const std::vector<std::vector<std::int32_t>>& met,
                       std::vector<double>& from_ds, std::vector<double>& from_p) {
    const Meeting meeting(own, others, sides.width, score_scale(d),
                          dense ? pieces(others.score.size() / sides.width, kChunk) : other_blocks,
                          threads);
    const auto items =
        dense ? dense_items(tokens.size(), kDenseRows) : sparse_items(order, blocks, tokens);
    from_ds.resize(tokens.size() * d);
    if (!own.queries()) from_p.resize(tokens.size() * d);
    std::vector<MeetingScratch> scratch(threads > 0 ? threads : numerics::default_threads());
    numerics::parallel_for(items.size(), threads, [&](std::size_t index, int worker) {
      const OracleItem& item = items[index];
      std::vector<std::int64_t> at;
      for (const std::size_t row : item.rows)
        at.push_back(dense ? tokens[row] : order.position_of[tokens[row]]);
      Gathered g = meeting.gather(at);
      if (dense) {
        for (std::size_t range = 0; range < meeting.ranges(); ++range)
          meeting.absorb(g, range, scratch[worker], [](std::size_t, std::size_t) { return true; });
      } else {
        for (const std::int32_t block : met[item.block])
          meeting.absorb(g, static_cast<std::size_t>(block), scratch[worker],
                         [&](std::size_t i, std::size_t n) {
                           const auto other =
                               other_blocks[block].begin + static_cast<std::int64_t>(n);
                           return own.queries() ? layout.mask->keeps(at[i], other)
                                                : layout.mask->keeps(other, at[i]);
                         });
      }
      for (std::size_t i = 0; i < g.rows; ++i)
        for (std::size_t j = 0; j < d; ++j) {
          from_ds[item.rows[i] * d + j] = g.from_ds[i * sides.width + j] * root;
          if (!own.queries()) from_p[item.rows[i] * d + j] = g.from_p[i * sides.width + j];
        }
    });
  };
  OracleGradients gradients;
  std::vector<double> none;
  const mask::BlockMap& map = layout.blocks;
  run(sides.queries, sides.keys, layout.order, query_tokens, map.query_blocks, map.key_blocks,
      ascending_map(map), gradients.dq, none);
  run(sides.keys, sides.queries, layout.key_order, key_tokens, map.key_blocks, map.query_blocks,
      transposed_map(map), gradients.dk, gradients.dv);
  return gradients;
}

}  // namespace karat::attention
