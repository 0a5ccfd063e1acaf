// The slow engine: one query block by the operations' scalar functions, one key block after the
// other, in the words of docs/recipes.
#include <algorithm>

#include "engine.hpp"
#include "infinity.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/pv.hpp"
#include "karat/attention/operations/score.hpp"

namespace karat::attention {
namespace {

using numerics::MatrixView;
using numerics::Path;

/// a(i, j) = row i of x times row j of y in an instruction's arithmetic.
std::vector<float> products(const numerics::Instruction& instruction, MatrixView<const float> x,
                            MatrixView<const float> y) {
  numerics::RowOperand rows;
  numerics::ColumnOperand columns;
  rows.pack(instruction, x);
  columns.pack(instruction, y);
  std::vector<float> a(x.rows * y.rows);
  numerics::chain(instruction, rows, columns, numerics::Start::absent,
                  numerics::row_major(a.data(), x.rows, y.rows), Path::scalar);
  return a;
}

/// What smoothing took from the scores of this query block and each key: fl(delta*c); empty
/// without.
std::vector<float> smoothing_deltas(const Launch& launch, int query_block, video::Range keys) {
  const Smoothed& smoothed = launch.head.smoothed;
  if (smoothed.q_block_means.empty()) return {};
  const std::size_t d = launch.channels;
  std::vector<float> deltas =
      products(numerics::instruction("f32.fma"),
               numerics::row_major(&smoothed.q_block_means[query_block * d], 1, d),
               numerics::row_major(&smoothed.keys[keys.begin * d],
                                   static_cast<std::size_t>(keys.size()), d));
  for (float& delta : deltas) delta = launch.fp32.multiply(delta, launch.c);
  return deltas;
}

/// A query block meeting a key block; matrices are rows x columns.
struct Visit {
  video::Range queries, keys;
  std::size_t rows, columns;
  Turn turn;
  std::vector<float> a, s;
  std::vector<float> maxima;  ///< of the rows of s
  std::vector<float> p;       ///< as the PV instruction reads it; zero where the visit is skipped
  std::vector<std::uint8_t> codes;
  std::vector<float> p_scale;  ///< of each row, where Kernel::p_scaled_by_rows
};

Visit scored(const Launch& launch, int query_block, video::Range keys, Turn turn) {
  const video::Range queries = launch.layout.blocks.query_blocks[query_block];
  Visit v{.queries = queries,
          .keys = keys,
          .rows = static_cast<std::size_t>(queries.size()),
          .columns = static_cast<std::size_t>(keys.size()),
          .turn = turn};
  v.a = products(launch.qk, launch.head.q.view().rows_from(queries.begin, v.rows),
                 launch.head.k.view().rows_from(keys.begin, v.columns));
  v.s.resize(v.a.size());
  v.p.resize(v.a.size());
  v.codes.resize(v.a.size());
  v.p_scale.assign(v.rows, 1.0f);
  v.maxima.assign(v.rows, -kInfinity);
  const std::vector<float> deltas = smoothing_deltas(launch, query_block, keys);
  for (std::size_t i = 0; i < v.rows; ++i)
    for (std::size_t n = 0; n < v.columns; ++n) {
      const std::int64_t query = queries.begin + static_cast<std::int64_t>(i);
      const std::int64_t key = keys.begin + static_cast<std::int64_t>(n);
      const std::size_t e = i * v.columns + n;
      float s = score(launch, v.a[e], launch.q_scale(query), launch.k_scale(key), turn);
      if (!deltas.empty()) s = launch.fp32.add(s, deltas[n]);
      v.s[e] = launch.layout.mask->keeps(query, key) ? s : launch.masked_score;
      v.maxima[i] = std::max(v.maxima[i], v.s[e]);
    }
  return v;
}

/// P of one row, its codes and the terms of its sum.
template <std::floating_point P>
std::vector<P> fill_probabilities(const Launch& launch, Visit& v, std::size_t row, float m, float f,
                                  std::int64_t& saturated) {
  const std::size_t first = row * v.columns;
  const std::span<float> values(&v.p[first], v.columns);
  const std::span<std::uint8_t> codes(&v.codes[first], v.columns);
  std::vector<P> terms(v.columns);
  const std::int64_t query = v.queries.begin + static_cast<std::int64_t>(row);
  p_exponents(
      launch,
      row_scores(launch, query, v.keys, {&v.a[first], v.columns}, {&v.s[first], v.columns}, v.turn),
      m, f, values);
  for (std::size_t n = 0; n < v.columns; ++n) {
    terms[n] = power<P>(launch, values[n]);
    values[n] = cast_operand(launch, terms[n]);
  }
  const bool has_codes = quant::leaves_scales(launch.p_rule);
  const CastRow cast = cast_p(launch, values, Path::scalar, has_codes ? codes : codes.first(0));
  saturated += cast.saturated;
  v.p_scale[row] = cast.scale;
  for (std::size_t n = 0; n < v.columns; ++n)
    terms[n] = row_sum_term(launch, terms[n], values[n], cast.scale);
  return terms;
}

void record(const Launch& launch, const RowState& state, std::size_t visit, const Visit& v,
            BlockTap& tap) {
  const std::size_t width = tap.key_position.size();
  const auto copy = [&](const auto& from, auto& to) {
    for (std::size_t i = 0; !to.empty() && i < v.rows; ++i)
      std::copy_n(&from[i * v.columns], v.columns, &to[i * width + tap.column_begin[visit]]);
  };
  copy(v.a, tap.a);
  copy(v.s, tap.s);
  copy(v.p, tap.p);
  copy(v.codes, tap.p_codes);
  for (std::size_t i = 0; i < v.rows; ++i) {
    tap.m[visit * v.rows + i] = state.m[i];
    tap.l[visit * v.rows + i] = row_sum(launch, state.partial[i]);
  }
  std::copy(state.o.begin(), state.o.end(), &tap.o[visit * state.o.size()]);
}

/// P: float, or double in recipes whose P is exact.
template <std::floating_point P>
void run_block(const Launch& launch, int query_block, HeadResult& result, BlockTap* tap,
               std::int64_t& saturated) {
  const layout::Layout& layout = launch.layout;
  const video::Range queries = layout.blocks.query_blocks[query_block];
  const auto rows = static_cast<std::size_t>(queries.size());
  const auto& visits = layout.blocks.rows[query_block];
  RowState state(launch, rows);
  for (std::size_t visit = 0; visit < visits.size(); ++visit) {
    const video::Range keys = layout.blocks.key_blocks[visits[visit].key_block];
    Visit v = scored(launch, query_block, keys, turn_of(visit, visits.size()));
    const auto f = [&](std::size_t row) {
      return launch.pair_factor(queries.begin + static_cast<std::int64_t>(row), keys.begin);
    };
    SkipTest test(launch, visit);
    for (std::size_t i = 0; i < rows; ++i) test.row(i, state.m[i], v.maxima[i], f(i));
    if (test.small()) result.small_blocks[query_block].push_back(visits[visit].key_block);
    std::vector<P> alpha(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const float m = next_maximum(launch, state.m[i], v.maxima[i], f(i));
      alpha[i] = power<P>(launch, alpha_exponent(launch, state.m[i], m, f(i)));
      std::vector<P> terms(v.columns, 0);
      if (!test.skips()) terms = fill_probabilities<P>(launch, v, i, m, f(i), saturated);
      add_to_row_sum(launch, terms, alpha[i], state.partial[i]);
      state.m[i] = m;
    }
    if (test.skips())
      rescale<float, P>(launch, alpha, state.o);
    else
      add_pv<P>(launch, numerics::row_major<const float>(v.p.data(), rows, v.columns), v.p_scale,
                values_of(launch), keys, alpha, state.o, Path::scalar);
    if (tap != nullptr) record(launch, state, visit, v, *tap);
  }
  finish(launch, queries, state, Path::scalar, result);
}

}  // namespace

void run_block_scalar(const Launch& launch, int query_block, HeadResult& result, BlockTap* tap,
                      std::int64_t& saturated) {
  if (launch.recipe.softmax.exp2 == recipe::Exp2::exact)
    run_block<double>(launch, query_block, result, tap, saturated);
  else
    run_block<float>(launch, query_block, result, tap, saturated);
}

}  // namespace karat::attention
