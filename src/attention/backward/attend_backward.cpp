// The gradients of one key-value head: query heads one after the other, then what is written.
#include <algorithm>
#include <atomic>
#include <string>
#include <tuple>

#include "backward/launch.hpp"
#include "backward/schedule.hpp"
#include "karat/attention/backward.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::attention {
namespace {

void prepare(BackwardTap& tap, const mask::BlockMap& blocks, const BackwardOrder& order,
             int query_block, std::size_t channels) {
  tap.query_block = query_block;
  tap.queries = blocks.query_blocks[query_block];
  tap.column_begin.assign(1, 0);
  for (const auto& entry : order.keys_of[query_block]) {
    const video::Range keys = blocks.key_blocks[entry.key_block];
    tap.key_block.push_back(entry.key_block);
    tap.column_begin.push_back(tap.column_begin.back() + keys.size());
    for (std::int64_t key = keys.begin; key < keys.end; ++key)
      tap.key_position.push_back(static_cast<std::int32_t>(key));
  }
  tap.dq.resize(tap.key_block.size() * static_cast<std::size_t>(tap.queries.size()) * channels);
}

void prepare(KeyBlockTap& tap, const mask::BlockMap& blocks, const BackwardOrder& order,
             int key_block, std::size_t heads, std::size_t channels) {
  tap.key_block = key_block;
  tap.keys = blocks.key_blocks[key_block];
  for (std::size_t head = 0; head < heads; ++head)
    for (const auto& visit : order.queries_of[key_block])
      tap.query_block.push_back(visit.query_block);
  const std::size_t size = static_cast<std::size_t>(tap.keys.size()) * channels;
  tap.dk.resize(tap.query_block.size() * size);
  tap.dv.resize(tap.query_block.size() * size);
}

std::vector<int> sorted(std::vector<int> blocks, std::size_t count, const char* name) {
  std::sort(blocks.begin(), blocks.end());
  blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
  for (const int block : blocks)
    if (block < 0 || block >= static_cast<int>(count))
      throw Error(ErrorKind::usage, std::string(name) + " block " + std::to_string(block),
                  "there are " + std::to_string(count) + " " + name + " blocks of the backward",
                  "choose one from 0 to " + std::to_string(count - 1));
  return blocks;
}

/// The one scale of P or dS where all visits have the same.
std::optional<float> constant_scale(const quant::Rule& rule) {
  if (!quant::leaves_scales(rule)) return std::nullopt;
  return quant::scale_of(1.0f, rule);
}

/// Gradients over positions on their way out.
class Gradients {
 public:
  explicit Gradients(const BackwardLaunch& launch) : launch_(launch) {}

  /// complete_row() on every row, `roots` of d^-1/2 where they enter at the end; `made` is P's or
  /// dS's rule, x the product's other operand.
  void complete(std::vector<float>& sums, const quant::Rule& made, const quant::Quantised& x,
                const video::TokenOrder& order_of_x, recipe::Promote promote, int roots,
                std::span<const float> ds_sums = {}) const {
    std::vector<float> factor;
    if (promote == recipe::Promote::never)
      factor = product_factors(launch_.fp32, constant_scale(made), x,
                               first_token(order_of_x, {0, order_of_x.positions()}));
    GradientTerms terms{.factor = factor};
    if (!launch_.scales_ds()) terms.roots = roots;
    if (!ds_sums.empty()) terms.mean = launch_.k_mean;
    for_rows(sums.size() / launch_.channels, [&](std::size_t row) {
      GradientTerms own = terms;
      if (!ds_sums.empty()) own.ds_sum = ds_sums[row];
      complete_row(launch_, row_of(sums, row), own);
    });
  }

  /// What is written, in the tokens' order.
  std::vector<float> written(std::vector<float>& sums, const video::TokenOrder& order,
                             std::span<const std::uint8_t> saturated, float multiplier) const {
    const std::size_t d = launch_.channels;
    std::vector<float> out(order.position_of.size() * d);
    for_rows(order.position_of.size(), [&](std::size_t token) {
      const auto position = static_cast<std::size_t>(order.position_of[token]);
      const std::span<float> row(&out[token * d], d);
      std::copy_n(&sums[position * d], d, row.begin());
      write_gradient(launch_, multiplier,
                     saturated.empty() ? saturated : saturated.subspan(position * d, d), row,
                     launch_.options.path);
    });
    return out;
  }

 private:
  std::span<float> row_of(std::vector<float>& values, std::size_t row) const {
    return {&values[row * launch_.channels], launch_.channels};
  }
  template <typename Body>
  void for_rows(std::size_t rows, const Body& body) const {
    constexpr std::size_t kRows = 256;
    numerics::parallel_for(
        (rows + kRows - 1) / kRows, launch_.options.threads, [&](std::size_t item, int) {
          for (std::size_t i = item * kRows; i < std::min(rows, (item + 1) * kRows); ++i) body(i);
        });
  }

  const BackwardLaunch& launch_;
};

/// One chain over all query heads leaves no place for scales that differ.
void require_same_scales(const BackwardLaunch& launch, std::optional<std::vector<float>>& first) {
  if (launch.backward.head_sum != recipe::HeadSum::chain ||
      launch.backward.promote != recipe::Promote::never)
    return;
  std::vector<float> scales = launch.d_o->scales;
  scales.insert(scales.end(), launch.q->scales.begin(), launch.q->scales.end());
  if (first && *first != scales)
    throw Error(ErrorKind::usage, "backward.head_sum",
                "chain leaves no place for scales that differ between query heads",
                "give add, or backward.promote block");
  first = std::move(scales);
}

std::vector<float> token_rows(const BackwardLaunch& launch, const std::vector<float>& positions) {
  std::vector<float> tokens;
  for (const std::int32_t position : launch.layout.order.position_of)
    tokens.push_back(positions[position]);
  return tokens;
}

}  // namespace

BackwardResult attend_backward(const recipe::Recipe& recipe, const layout::Layout& layout,
                               std::span<const BackwardHead> heads,
                               const BackwardOptions& options) {
  if (!recipe.backward.exists())
    throw Error(ErrorKind::usage, "backward.loop", "the recipe has no backward",
                "give a recipe with one");
  const mask::BlockMap blocks = backward_blocks(recipe, layout);
  for (const auto& [list, count, name] :
       {std::tuple{&options.query_blocks, blocks.query_blocks.size(), "query"},
        std::tuple{&options.key_blocks, blocks.key_blocks.size(), "key"}})
    if (*list) sorted(**list, count, name);
  const BackwardOrder order = backward_order(recipe.backward, blocks, options);
  const std::size_t d = layout.channels;
  const auto keys = static_cast<std::size_t>(layout.key_order.positions());
  const auto queries = static_cast<std::size_t>(layout.order.positions());

  BackwardResult result;
  Taps taps{.of_query = std::vector<BackwardTap*>(blocks.query_blocks.size()),
            .of_key = std::vector<KeyBlockTap*>(blocks.key_blocks.size()),
            .visited_before = std::vector<std::size_t>(blocks.key_blocks.size())};
  const auto tapped_queries = sorted(options.tapped_queries, blocks.query_blocks.size(), "query");
  const auto tapped_keys = sorted(options.tapped_keys, blocks.key_blocks.size(), "key");
  result.query_taps.resize(tapped_queries.size());
  result.key_taps.resize(tapped_keys.size());
  for (std::size_t t = 0; t < tapped_queries.size(); ++t) {
    prepare(result.query_taps[t], blocks, order, tapped_queries[t], d);
    taps.of_query[tapped_queries[t]] = &result.query_taps[t];
  }
  for (std::size_t t = 0; t < tapped_keys.size(); ++t) {
    prepare(result.key_taps[t], blocks, order, tapped_keys[t], heads.size(), d);
    taps.of_key[tapped_keys[t]] = &result.key_taps[t];
  }

  const recipe::Backward& b = recipe.backward;
  const bool adds = b.head_sum == recipe::HeadSum::add;
  Sums sums{.dq = {},
            .dk = std::vector<float>(keys * d),
            .dv = std::vector<float>(keys * d),
            .ds_sum = {}};
  std::vector<float> dk, dv;  // of all heads so far, where each is complete by itself
  std::optional<std::vector<float>> scales;
  std::atomic<std::size_t> done = 0;
  const bool fast =
      options.path == numerics::Path::fast && !(options.errors && options.errors->exp2);
  const Schedule schedule = fast ? make_schedule(recipe.backward, blocks, options) : Schedule{};
  const std::size_t total = heads.size() * (fast ? schedule.items() : blocks.key_blocks.size());
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const BackwardLaunch launch(recipe, layout, blocks, heads[h], options);
    require_same_scales(launch, scales);
    sums.dq.assign(queries * d, 0.0f);
    sums.ds_sum.assign(queries, 0.0f);
    const auto progress = [&] {
      const std::size_t count = ++done;
      if (options.progress) options.progress(count, total);
    };
    result.saturated_ds_codes += fast ? run_fast(launch, schedule, sums, taps, progress)
                                      : run_scalar(launch, order, sums, taps, progress);
    const Gradients gradients(launch);
    gradients.complete(sums.dq, b.ds, *launch.k, layout.key_order, launch.promote_dq(),
                       launch.errors.dq_roots,
                       launch.k_mean.empty() ? std::span<const float>() : sums.ds_sum);
    result.dq.push_back(
        gradients.written(sums.dq, layout.order, launch.q_saturated, b.dq_multiplier));
    result.delta.push_back(token_rows(launch, launch.delta));

    const bool last = h + 1 == heads.size();
    if (adds || last) {
      gradients.complete(sums.dk, b.ds, *launch.q, layout.order, b.promote, launch.errors.dk_roots);
      gradients.complete(sums.dv, b.p, *launch.d_o, layout.order, b.promote, 0);
    }
    if (adds) {
      const auto add = [&](std::vector<float>& of_head, std::vector<float>& all) {
        if (h == 0) {
          all = of_head;
        } else {
          for (std::size_t e = 0; e < all.size(); ++e) all[e] = launch.fp32.add(all[e], of_head[e]);
        }
        if (last)
          of_head.swap(all);
        else
          std::fill(of_head.begin(), of_head.end(), 0.0f);
      };
      add(sums.dk, dk);
      add(sums.dv, dv);
    }
    if (last) {
      result.dk = gradients.written(sums.dk, layout.key_order, launch.k_saturated, b.dk_multiplier);
      result.dv = gradients.written(sums.dv, layout.key_order, launch.v_saturated, b.dv_multiplier);
    }
    for (std::size_t block = 0; block < order.queries_of.size(); ++block)
      taps.visited_before[block] += order.queries_of[block].size();
    std::ranges::fill(taps.of_query, nullptr);  // the first head's alone
  }
  return result;
}

}  // namespace karat::attention
