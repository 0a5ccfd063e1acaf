// Blocks of gradients from legal rows and legal pairs, and what is written of them.
#include "karat/bounds/gradient_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "gradient_sum.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::bounds {
namespace {

using attention::BackwardView;
using attention::GradientProduct;
using numerics::Interval;

LegalValues sized(std::size_t count) {
  LegalValues values;
  for (auto* x : {&values.golden, &values.low, &values.high}) x->resize(count);
  values.kernels.assign(kRuns - 1, std::vector<float>(count));
  return values;
}

void put(LegalValues& to, std::size_t e, const LegalNumber& number) {
  to.golden[e] = number.of[0];
  for (std::size_t k = 1; k < kRuns; ++k) to.kernels[k - 1][e] = number.of[k];
  to.low[e] = number.all.low;
  to.high[e] = number.all.high;
}

/// rows x `width` of a visit, from column `first` on.
void put(LegalValues& to, std::size_t width, std::size_t first, std::size_t columns,
         const std::array<const std::vector<float>*, kRuns>& of, const std::vector<float>& low,
         const std::vector<float>& high) {
  const auto copy = [&](const std::vector<float>& from, std::vector<float>& into) {
    for (std::size_t i = 0; i < from.size() / columns; ++i)
      std::copy_n(&from[i * columns], columns, &into[i * width + first]);
  };
  copy(*of[0], to.golden);
  for (std::size_t k = 1; k < kRuns; ++k) copy(*of[k], to.kernels[k - 1]);
  copy(low, to.low);
  copy(high, to.high);
}
void put(LegalValues& to, std::size_t width, std::size_t first, std::size_t columns,
         const MadeValues& x) {
  std::array<const std::vector<float>*, kRuns> of;
  for (std::size_t k = 0; k < kRuns; ++k) of[k] = &x.of[k];
  put(to, width, first, columns, of, x.low, x.high);
}
void put(LegalValues& to, std::size_t width, std::size_t first, std::size_t columns,
         const MadeOperand& x) {
  std::array<const std::vector<float>*, kRuns> of;
  for (std::size_t k = 0; k < kRuns; ++k) of[k] = &x.of[k].values;
  const bool own = !x.code_low.empty();
  put(to, width, first, columns, of, own ? x.code_low : x.low, own ? x.code_high : x.high);
}

/// The accumulators behind a visit.
void append(LegalValues& to, const GradientSum& sum, std::span<const Interval> all) {
  const auto add = [](std::vector<float>& into, const std::vector<float>& from) {
    into.insert(into.end(), from.begin(), from.end());
  };
  to.kernels.resize(kRuns - 1);
  add(to.golden, sum.of(0));
  for (std::size_t k = 1; k < kRuns; ++k) add(to.kernels[k - 1], sum.of(k));
  for (const Interval x : all) {
    to.low.push_back(x.low);
    to.high.push_back(x.high);
  }
}

/// x + r*mean, both rounded.
Interval with_term(const numerics::Fp32& fp, Interval x, Interval r, float mean) {
  const Interval left = mean < 0 ? attention::negated(r) : r;
  return fp.add(x, fp.multiply(left, Interval(std::abs(mean))));
}

/// What becomes of a gradient's row over positions: complete_row().
template <typename V>
void completed(const BackwardView& view, GradientProduct product, std::span<V> row, V ds_sum) {
  const attention::BackwardKernel& kernel = view.kernel();
  const std::vector<float> factor = view.last_factors(product);
  complete_row(kernel, row, {.factor = factor, .ds_sum = 0, .mean = {}, .roots = 0});
  if (product == GradientProduct::dq && !view.k_mean().empty())
    for (std::size_t j = 0; j < row.size(); ++j) {
      if constexpr (std::is_same_v<V, Interval>)
        row[j] = with_term(kernel.fp32, row[j], ds_sum, view.k_mean()[j]);
      else
        row[j] = kernel.fp32.add(row[j], kernel.fp32.multiply(ds_sum, view.k_mean()[j]));
    }
  const bool rooted = product != GradientProduct::dv && !kernel.scales_ds();
  complete_row(kernel, row, {.factor = {}, .ds_sum = 0, .mean = {}, .roots = rooted ? 1 : 0});
}

/// write_gradient() on both ends.
void write(const BackwardView& view, GradientProduct product, std::int64_t position,
           std::span<Interval> row) {
  const attention::BackwardKernel& kernel = view.kernel();
  const auto saturated = view.saturated(product);
  for (std::size_t j = 0; j < row.size() && !saturated.empty(); ++j)
    if (saturated[position * row.size() + j]) row[j] = 0.0f;
  if (view.multiplier(product) != 1.0f)
    for (Interval& x : row) x = kernel.fp32.multiply(x, Interval(view.multiplier(product)));
  attention::cast(row, kernel.backward.output, quant::cast_policy(kernel.backward.output));
}
void write(const BackwardView& view, GradientProduct product, std::int64_t position,
           std::span<float> row) {
  const auto saturated = view.saturated(product);
  write_gradient(
      view.kernel(), view.multiplier(product),
      saturated.empty() ? saturated : saturated.subspan(position * row.size(), row.size()), row,
      numerics::Path::fast);
}

/// A block's accumulators on their way out, over one query head or the sum of several.
struct Leaving {
  std::array<std::vector<float>, kRuns> of;
  std::vector<Interval> all;

  explicit Leaving(const GradientSum& sum) : all(sum.all()) {
    for (std::size_t k = 0; k < kRuns; ++k) of[k] = sum.of(k);
  }
  template <typename RowOf>
  void complete(const BackwardView& view, GradientProduct product, const RowOf& r) {
    const std::size_t d = view.kernel().channels;
    for (std::size_t i = 0; i < all.size() / d; ++i) {
      for (std::size_t k = 0; k < kRuns; ++k)
        completed<float>(view, product, {&of[k][i * d], d}, r.number(k, i));
      completed<Interval>(view, product, {&all[i * d], d}, r.range(i));
    }
  }
  void add(const numerics::Fp32& fp, const Leaving& more) {
    for (std::size_t e = 0; e < all.size(); ++e) {
      for (std::size_t k = 0; k < kRuns; ++k) of[k][e] = fp.add(of[k][e], more.of[k][e]);
      all[e] = plus(fp, all[e], more.all[e]);
    }
  }
  LegalValues written(const BackwardView& view, GradientProduct product, std::int64_t first) {
    const std::size_t d = view.kernel().channels;
    for (std::size_t i = 0; i < all.size() / d; ++i) {
      const std::int64_t position = first + static_cast<std::int64_t>(i);
      for (std::size_t k = 0; k < kRuns; ++k)
        write(view, product, position, std::span<float>(&of[k][i * d], d));
      write(view, product, position, std::span<Interval>(&all[i * d], d));
    }
    LegalValues values;
    values.golden = std::move(of[0]);
    for (std::size_t k = 1; k < kRuns; ++k) values.kernels.push_back(std::move(of[k]));
    for (const Interval x : all) {
      values.low.push_back(x.low);
      values.high.push_back(x.high);
    }
    return values;
  }
};

struct NoTerm {
  static float number(std::size_t, std::size_t) { return 0; }
  static Interval range(std::size_t) { return 0.0f; }
};

/// add_ds_sums() of every kernel, and its range from exact sums: any order of roundings.
class TermSums {
 public:
  TermSums(const BackwardView& view, std::size_t rows) : view_(view), free_(rows) {
    for (auto& r : of_) r.assign(rows, 0.0f);
    for (auto* sums : {&low_, &high_, &magnitude_}) sums->assign(rows, 0.0);
  }
  void absorb(const MadePairs& pairs, const MadeOperand& ds) {
    if (view_.k_mean().empty()) return;
    for (std::size_t k = 0; k < kRuns; ++k)
      add_ds_sums(view_.kernel(), ds.of[k].view(), attention::visit_scale(ds.of[k]), of_[k]);
    const double scale = attention::visit_scale(ds.of[0]).value_or(1.0f);
    for (std::size_t e = 0; e < ds.low.size(); ++e) {
      const std::size_t i = e / pairs.columns;
      low_[i] += scale * ds.low[e];
      high_[i] += scale * ds.high[e];
      magnitude_[i] += scale * std::max(std::abs(ds.low[e]), std::abs(ds.high[e]));
      free_[i] |= ds.low[e] != ds.high[e] || ds.scale_varies;
    }
    terms_ += pairs.columns;
  }
  float number(std::size_t k, std::size_t i) const { return of_[k][i]; }
  Interval range(std::size_t i) const {
    if (!free_[i]) return of_[0][i];
    const double room = static_cast<double>(terms_ + 2) * 0x1p-23 * magnitude_[i];
    return {numerics::rounded_down(low_[i] - room), numerics::rounded_up(high_[i] + room)};
  }

 private:
  const BackwardView& view_;
  std::array<std::vector<float>, kRuns> of_;
  std::vector<double> low_, high_, magnitude_;
  std::vector<char> free_;
  std::size_t terms_ = 0;
};

void require_golden_inside(const LegalValues& values, const std::string& what) {
  for (std::size_t e = 0; e < values.golden.size(); ++e)
    if (!std::isnan(values.golden[e]) && !inside(values.golden[e], values.low[e], values.high[e]))
      throw Error(ErrorKind::internal, "bounds of " + what, "do not contain the golden value",
                  "please report this");
}

}  // namespace

struct GradientBounds::State {
  struct Head {
    Head(const State& state, const attention::BackwardHead& given)
        : view(state.recipe, state.layout, state.blocks, given, state.threads),
          rows(state.recipe, state.layout, given, view, state.freedom, state.threads, state.step) {}
    BackwardView view;
    ForwardRows rows;
  };

  QueryBlockBounds queries(const Head& head, int block, Detail detail) const;
  KeyBlockBounds keys(int block, Detail detail) const;

  recipe::Recipe recipe;
  const layout::Layout& layout;
  Freedom freedom;
  int threads;
  std::function<void()> step;
  mask::BlockMap blocks;
  std::vector<attention::BackwardHead> given;
  std::vector<std::unique_ptr<Head>> heads;
};

QueryBlockBounds GradientBounds::State::queries(const Head& head, int block, Detail detail) const {
  const BackwardView& view = head.view;
  const video::Range queries = blocks.query_blocks[block];
  const auto rows = static_cast<std::size_t>(queries.size());
  QueryBlockBounds made;
  made.query_block = block;
  made.queries = queries;
  made.delta = sized(rows);
  const bool uncoded = recipe.backward.delta == recipe::Delta::unquantised_p;
  if (uncoded) made.o_unquantised_p = sized(rows * layout.channels);
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int64_t at = queries.begin + static_cast<std::int64_t>(i);
    put(made.delta, i, head.rows.delta(at));
    const auto o = head.rows.unquantised(at);
    for (std::size_t j = 0; j < o.size(); ++j)
      put(made.o_unquantised_p, i * layout.channels + j, o[j]);
  }
  const std::vector<int> visited = view.keys_of(block);
  const bool stages = detail == Detail::stages;
  std::size_t width = 0, first = 0;
  for (const int key_block : visited)
    width += static_cast<std::size_t>(blocks.key_blocks[key_block].size());
  if (stages)
    for (auto* values : {&made.p, &made.p_operand, &made.ds, &made.ds_operand})
      *values = sized(rows * width);
  GradientSum sum(view, GradientProduct::dq, rows, freedom);
  TermSums terms(view, rows);
  for (const int key_block : visited) {
    const MadePairs pairs = make_pairs(view, head.rows, freedom, block, key_block);
    sum.absorb(view, pairs, pairs.ds_operand, key_block);
    terms.absorb(pairs, pairs.ds_operand);
    if (stages) {
      put(made.p, width, first, pairs.columns, pairs.p);
      put(made.p_operand, width, first, pairs.columns, pairs.p_operand);
      put(made.ds, width, first, pairs.columns, pairs.ds);
      put(made.ds_operand, width, first, pairs.columns, pairs.ds_operand);
      const bool last = key_block == visited.back();
      append(made.dq_by_visit, sum, last ? sum.all() : sum.so_far());
    }
    first += pairs.columns;
  }
  Leaving leaving(sum);
  leaving.complete(view, GradientProduct::dq, terms);
  made.dq = leaving.written(view, GradientProduct::dq, queries.begin);
  require_golden_inside(made.dq, "dq, query block " + std::to_string(block));
  return made;
}

KeyBlockBounds GradientBounds::State::keys(int block, Detail detail) const {
  const video::Range keys = blocks.key_blocks[block];
  const auto rows = static_cast<std::size_t>(keys.size());
  KeyBlockBounds made;
  made.key_block = block;
  made.keys = keys;
  const bool adds = recipe.backward.head_sum == recipe::HeadSum::add;
  std::optional<GradientSum> dk, dv;
  std::optional<Leaving> all_dk, all_dv;
  for (const auto& head : heads) {
    const BackwardView& view = head->view;
    if (!dk || adds) {
      dk.emplace(view, GradientProduct::dk, rows, freedom);
      dv.emplace(view, GradientProduct::dv, rows, freedom);
    }
    for (const int query_block : view.queries_of(block)) {
      const MadePairs pairs = make_pairs(view, head->rows, freedom, query_block, block);
      dv->absorb(view, pairs, pairs.p_operand, query_block);
      dk->absorb(view, pairs, pairs.ds_operand, query_block);
      if (detail == Detail::outputs) continue;
      append(made.dk_by_visit, *dk, dk->so_far());
      append(made.dv_by_visit, *dv, dv->so_far());
    }
    if (!adds && head != heads.back()) continue;
    Leaving own_dk(*dk), own_dv(*dv);
    own_dk.complete(view, GradientProduct::dk, NoTerm{});
    own_dv.complete(view, GradientProduct::dv, NoTerm{});
    if (all_dk) {
      all_dk->add(view.kernel().fp32, own_dk);
      all_dv->add(view.kernel().fp32, own_dv);
    } else {
      all_dk = std::move(own_dk);
      all_dv = std::move(own_dv);
    }
  }
  const BackwardView& last = heads.back()->view;
  made.dk = all_dk->written(last, GradientProduct::dk, keys.begin);
  made.dv = all_dv->written(last, GradientProduct::dv, keys.begin);
  require_golden_inside(made.dk, "dk, key block " + std::to_string(block));
  require_golden_inside(made.dv, "dv, key block " + std::to_string(block));
  return made;
}

GradientBounds::GradientBounds(const recipe::Recipe& recipe, const layout::Layout& layout,
                               std::span<const attention::BackwardHead> heads, Freedom freedom,
                               int threads, std::function<void()> step)
    : state_(std::make_unique<State>(State{.recipe = recipe,
                                           .layout = layout,
                                           .freedom = freedom_of(recipe, freedom),
                                           .threads = threads,
                                           .step = std::move(step),
                                           .blocks = attention::backward_blocks(recipe, layout),
                                           .given = {heads.begin(), heads.end()},
                                           .heads = {}})) {
  for (const attention::BackwardHead& head : state_->given)
    state_->heads.push_back(std::make_unique<State::Head>(*state_, head));
}
GradientBounds::~GradientBounds() = default;

std::vector<QueryBlockBounds> GradientBounds::of_queries(std::size_t head,
                                                         std::span<const int> blocks,
                                                         Detail detail) {
  State::Head& of = *state_->heads[head];
  std::vector<video::Range> rows;
  for (const int block : blocks) rows.push_back(state_->blocks.query_blocks[block]);
  of.rows.require(rows);
  std::vector<QueryBlockBounds> made(blocks.size());
  numerics::parallel_for(blocks.size(), state_->threads, [&](std::size_t i, int) {
    state_->step();
    made[i] = state_->queries(of, blocks[i], detail);
  });
  return made;
}

std::vector<KeyBlockBounds> GradientBounds::of_keys(std::span<const int> blocks, Detail detail) {
  for (const auto& head : state_->heads) {
    std::vector<video::Range> rows;
    for (const int block : blocks)
      for (const int query_block : head->view.queries_of(block))
        rows.push_back(state_->blocks.query_blocks[query_block]);
    head->rows.require(rows);
  }
  std::vector<KeyBlockBounds> made(blocks.size());
  numerics::parallel_for(blocks.size(), state_->threads, [&](std::size_t i, int) {
    state_->step();
    made[i] = state_->keys(blocks[i], detail);
  });
  return made;
}

}  // namespace karat::bounds
