// One query head's operands, delta and log-sum-exps, and the orders of its blocks.
#include "backward/launch.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "infinity.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

void require_size(const char* name, std::size_t size, std::size_t expected) {
  if (size != expected)
    throw Error(ErrorKind::usage, name,
                std::to_string(size) + " values where the head has " + std::to_string(expected),
                "give the forward's");
}

void require_sizes(const BackwardLaunch& launch) {
  const auto tokens = static_cast<std::size_t>(launch.layout.order.tokens());
  const std::size_t elements = tokens * launch.channels;
  require_size("dO", launch.brought.d_o.size(), elements);
  require_size("o", launch.brought.o.size(), elements);
  require_size("lse", launch.brought.lse.size(), tokens);
  if (launch.backward.delta == recipe::Delta::unquantised_p)
    require_size("the output of an uncoded P", launch.brought.o_unquantised_p.size(), elements);
}

/// What a product sums over must have one scale: a block, or everything.
void require_scales(const BackwardLaunch& launch) {
  const layout::Layout& layout = launch.layout;
  const auto check = [](const char* name, const quant::Quantised& x, recipe::Promote promote,
                        const video::TokenOrder& order, std::span<const video::Range> blocks) {
    const video::Range all[] = {{0, order.positions()}};
    require_constant_scales(name, x, order,
                            promote == recipe::Promote::block ? blocks : std::span(all));
  };
  const auto& query_blocks = launch.blocks.query_blocks;
  check("backward.do_group", *launch.d_o, launch.backward.promote, layout.order, query_blocks);
  check("backward.q", *launch.q, launch.backward.promote, layout.order, query_blocks);
  check("backward.k", *launch.k, launch.promote_dq(), layout.key_order, launch.blocks.key_blocks);
}

void fill_rows(BackwardLaunch& launch) {
  const layout::Layout& layout = launch.layout;
  const bool own = launch.backward.delta == recipe::Delta::output;
  const std::span<const float> o = own ? launch.brought.o : launch.brought.o_unquantised_p;
  const quant::Quantised& d_o = *launch.d_o_in_dp;
  const std::vector<double>& smoothed = launch.brought.head->smoothed.q_dot_k_mean;
  const std::size_t d = launch.channels;
  launch.l.assign(layout.order.positions(), kInfinity);
  launch.delta.assign(layout.order.positions(), 0.0f);
  for (std::int64_t i = 0; i < layout.order.positions(); ++i) {
    const std::int32_t token = layout.order.token_at[i];
    if (token < 0 || launch.brought.lse[token] == -kInfinity) continue;
    launch.l[i] = log2_of(launch, launch.brought.lse[token]);
    if (!smoothed.empty()) launch.l[i] = of_smoothed(launch, launch.l[i], smoothed[i]);
    const float sum =
        sum_of_products(launch, o.subspan(token * d, d), std::span(&d_o.values[i * d], d));
    const auto s_d_o = d_o.scales.empty() ? std::nullopt : std::optional(d_o.scale(i, 0));
    launch.delta[i] = delta_of(launch, sum, s_d_o);
  }
}

}  // namespace

BackwardLaunch::BackwardLaunch(const recipe::Recipe& r, const layout::Layout& lay,
                               const mask::BlockMap& map, const BackwardHead& head,
                               const BackwardOptions& chosen)
    : BackwardKernel(r, lay.channels, chosen.errors ? chosen.errors->score_factor : 1.0),
      layout(lay),
      blocks(map),
      brought(head),
      options(chosen),
      errors(chosen.errors.value_or(BackwardErrors{})) {
  const numerics::Path path = options.path;
  const int threads = options.threads;
  require_sizes(*this);
  InputRows input;
  if (backward_needs_values(r)) input = input_rows(r, layout, head.input);
  if (backward.straight_through == recipe::StraightThrough::zero_where_saturated) {
    const auto beyond = [&](const std::vector<float>& rows, const quant::Rule& rule,
                            const quant::Grouping& groups) {
      return quant::saturates(numerics::row_major(rows.data(), rows.size() / channels, channels),
                              rule, groups);
    };
    q_saturated = beyond(input.q, r.q, layout.q_groups);
    k_saturated = beyond(input.k, r.k, layout.k_groups);
    v_saturated = beyond(input.v, r.v, layout.v_groups);
  }
  if (backward.smooth_term == recipe::SmoothTerm::added) k_mean = std::move(input.k_mean);
  q = read_as(backward.q, head.head->q, std::move(input.q), *this, path, threads);
  k = read_as(backward.k, head.head->k, std::move(input.k), *this, path, threads);
  v = read_as(backward.v, head.head->v, std::move(input.v), *this, path, threads);
  std::vector<float> rows = ordered_rows(head.d_o, channels, layout.order.token_at, channels);
  d_o = Operand(coded_gradient(r, layout, blocks, rows, path, threads));
  d_o_in_dp = read_as(backward.do_in_dp, *d_o, std::move(rows), *this, path, threads);
  require_scales(*this);
  fill_rows(*this);
}

bool BackwardLaunch::has_keys(std::int64_t position) const { return l[position] != kInfinity; }

std::optional<float> BackwardLaunch::dp_factor(std::int64_t query, std::int64_t key) const {
  if (d_o_in_dp->scales.empty() && v->scales.empty()) return std::nullopt;
  return fp32.multiply(d_o_in_dp->scale(query, 0), v->scale(key, 0));
}

mask::BlockMap backward_blocks(const recipe::Recipe& recipe, const layout::Layout& layout) {
  const recipe::Backward& b = recipe.backward;
  const auto cut = [&](const video::TokenOrder& order, int own, int forward) {
    return video::cut_blocks(order, own > 0 ? own : forward, recipe.block.align);
  };
  return mask::block_map(*layout.mask, cut(layout.order, b.block_q, recipe.block.q),
                         cut(layout.key_order, b.block_k, recipe.block.k));
}

namespace {

template <typename Visit>
void put_in_order(std::vector<Visit>& visits, recipe::BlockOrder order) {
  if (order == recipe::BlockOrder::descending) std::reverse(visits.begin(), visits.end());
  if (order == recipe::BlockOrder::partial_then_full)
    std::stable_partition(visits.begin(), visits.end(),
                          [](const Visit& visit) { return visit.cover == mask::Cover::partial; });
}

}  // namespace

std::vector<char> chosen(const std::optional<std::vector<int>>& list, std::size_t count) {
  std::vector<char> chosen(count, !list);
  for (const int block : list.value_or(std::vector<int>{})) chosen[block] = 1;
  return chosen;
}

BackwardOrder backward_order(const recipe::Backward& backward, const mask::BlockMap& blocks,
                             const BackwardOptions& options) {
  const std::vector<char> queries = chosen(options.query_blocks, blocks.query_blocks.size());
  const std::vector<char> keys = chosen(options.key_blocks, blocks.key_blocks.size());
  BackwardOrder order;
  order.keys_of.resize(blocks.rows.size());
  order.queries_of.resize(blocks.key_blocks.size());
  for (std::size_t i = 0; i < blocks.rows.size(); ++i) {
    if (queries[i]) order.keys_of[i] = blocks.rows[i];
    for (const auto& entry : blocks.rows[i])
      order.queries_of[entry.key_block].push_back({static_cast<std::int32_t>(i), entry.cover});
  }
  for (std::size_t k = 0; k < order.queries_of.size(); ++k)
    if (!keys[k]) order.queries_of[k].clear();
  for (auto& visits : order.keys_of) put_in_order(visits, backward.key_order);
  for (auto& visits : order.queries_of) put_in_order(visits, backward.query_order);
  return order;
}

}  // namespace karat::attention
