// The slow backward: both kernels by the operations' scalar functions, in the words of
// docs/recipes/backward.md. One goes over key blocks for dV and dK, the other over query blocks for
// dQ; each forms P and dS of its visits anew.
#include <algorithm>
#include <atomic>

#include "backward/launch.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::attention {
namespace {

using numerics::MatrixView;
using numerics::Path;
using Matrix = std::vector<float>;

/// a(i, j) = row i of x times row j of y.
Matrix products(const numerics::Instruction& instruction, MatrixView<const float> x,
                MatrixView<const float> y) {
  numerics::RowOperand rows;
  numerics::ColumnOperand columns;
  rows.pack(instruction, x);
  columns.pack(instruction, y);
  Matrix a(x.rows * y.rows);
  numerics::chain(instruction, rows, columns, numerics::Start::absent,
                  numerics::row_major(a.data(), x.rows, y.rows), Path::scalar);
  return a;
}

/// P and dS of a query block and a key block; matrices are rows x columns.
struct Visit {
  Visit(const BackwardLaunch& launch, video::Range queries, video::Range keys);

  std::size_t rows, columns;
  Matrix s, p, dp, ds;
  quant::Quantised p_operand, ds_operand;
};

Visit::Visit(const BackwardLaunch& launch, video::Range queries, video::Range keys)
    : rows(static_cast<std::size_t>(queries.size())),
      columns(static_cast<std::size_t>(keys.size())) {
  const auto block = [](const quant::Quantised& x, video::Range range) {
    return x.view().rows_from(range.begin, static_cast<std::size_t>(range.size()));
  };
  const Matrix a = products(launch.s, block(launch.s_q(), queries), block(launch.s_k(), keys));
  dp = products(launch.dp, block(*launch.d_o_in_dp, queries), block(*launch.v, keys));
  s.resize(a.size());
  p.assign(a.size(), 0.0f);
  ds.assign(a.size(), 0.0f);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t n = 0; n < columns; ++n) {
      const std::int64_t query = queries.begin + static_cast<std::int64_t>(i);
      const std::int64_t key = keys.begin + static_cast<std::int64_t>(n);
      const std::size_t e = i * columns + n;
      const float s_q = launch.s_q().scale(query, 0), s_k = launch.s_k().scale(key, 0);
      s[e] = backward_score(launch, a[e], s_q, s_k);
      if (const auto factor = launch.dp_factor(query, key))
        dp[e] = launch.fp32.multiply(dp[e], *factor);
      if (!launch.has_keys(query) || !launch.layout.mask->keeps(query, key)) continue;
      const float x = backward_exponent(launch, a[e], s_q, s_k, launch.l[query]);
      p[e] = backward_probability(launch, x);
      if (launch.errors.exp2) p[e] = launch.fp32.flushed(launch.errors.exp2(x, p[e]));
      ds[e] = score_gradient(launch, p[e], dp[e], launch.delta[query]);
    }
  const auto operand = [&](const quant::Rule& rule, const Matrix& x) {
    return visit_operand(rule, numerics::row_major(x.data(), rows, columns), Path::scalar);
  };
  p_operand = operand(launch.backward.p, p);
  ds_operand = operand(launch.backward.ds, ds);
}

RecordedVisit recorded(const Visit& v) {
  return {.rows = v.rows,
          .columns = v.columns,
          .stride = v.columns,
          .s = v.s.data(),
          .p = v.p.data(),
          .dp = v.dp.data(),
          .ds = v.ds.data(),
          .p_operand = v.p_operand.values.data(),
          .ds_operand = v.ds_operand.values.data(),
          .p_codes = v.p_operand.codes.empty() ? nullptr : v.p_operand.codes.data(),
          .ds_codes = v.ds_operand.codes.empty() ? nullptr : v.ds_operand.codes.data()};
}

/// Values of a block of positions, and the scales its product leaves outside.
struct Side {
  MatrixView<const float> values;
  std::vector<float> factors;
};
Side side(const BackwardLaunch& launch, const quant::Quantised& made, const quant::Quantised& x,
          const video::TokenOrder& order, video::Range range) {
  return {x.view().rows_from(range.begin, static_cast<std::size_t>(range.size())),
          product_factors(launch.fp32, visit_scale(made), x, first_token(order, range))};
}

/// dV and dK of one key block.
void run_keys(const BackwardLaunch& launch, const BackwardOrder& order, int key_block, Sums& sums,
              const Taps& taps) {
  const video::Range keys = launch.blocks.key_blocks[key_block];
  const std::size_t d = launch.channels, size = static_cast<std::size_t>(keys.size()) * d;
  const std::span<float> dk(&sums.dk[keys.begin * d], size), dv(&sums.dv[keys.begin * d], size);
  const auto& visits = order.queries_of[key_block];
  for (std::size_t turn = 0; turn < visits.size(); ++turn) {
    const video::Range queries = launch.blocks.query_blocks[visits[turn].query_block];
    const Visit v(launch, queries, keys);
    const auto add = [&](const numerics::Instruction& instruction, const quant::Quantised& made,
                         const quant::Quantised& x, std::span<float> acc) {
      const Side right = side(launch, made, x, launch.layout.order, queries);
      add_product(launch, instruction, launch.backward.promote, made.view().transposed(),
                  right.values, right.factors, acc, Path::scalar);
    };
    add(launch.dv, v.p_operand, *launch.d_o, dv);
    add(launch.dk, v.ds_operand, *launch.q, dk);
    record_keys(dk, dv, key_block, turn, taps);
  }
}

/// dQ of one query block.
std::int64_t run_queries(const BackwardLaunch& launch, const BackwardOrder& order, int query_block,
                         Sums& sums, const Taps& taps) {
  const video::Range queries = launch.blocks.query_blocks[query_block];
  const std::size_t d = launch.channels, size = static_cast<std::size_t>(queries.size()) * d;
  const std::span<float> dq(&sums.dq[queries.begin * d], size);
  const auto& visits = order.keys_of[query_block];
  std::int64_t saturated = 0;
  for (std::size_t turn = 0; turn < visits.size(); ++turn) {
    const video::Range keys = launch.blocks.key_blocks[visits[turn].key_block];
    const Visit v(launch, queries, keys);
    const Side right = side(launch, v.ds_operand, *launch.k, launch.layout.key_order, keys);
    add_product(launch, launch.dq, launch.promote_dq(), v.ds_operand.view(), right.values,
                right.factors, dq, Path::scalar);
    add_ds_sums(launch, v.ds_operand.view(), visit_scale(v.ds_operand),
                {&sums.ds_sum[queries.begin], v.rows});
    saturated += saturated_codes(launch.backward.ds,
                                 numerics::row_major<const float>(v.ds.data(), v.rows, v.columns));
    if (taps.of_query[query_block] != nullptr)
      record(recorded(v), dq, turn, *taps.of_query[query_block]);
  }
  return saturated;
}

}  // namespace

std::int64_t run_scalar(const BackwardLaunch& launch, const BackwardOrder& order, Sums& sums,
                        const Taps& taps, const std::function<void()>& done) {
  const int threads = launch.options.threads;
  numerics::parallel_for(order.queries_of.size(), threads, [&](std::size_t block, int) {
    run_keys(launch, order, static_cast<int>(block), sums, taps);
    done();
  });
  std::atomic<std::int64_t> saturated = 0;
  numerics::parallel_for(order.keys_of.size(), threads, [&](std::size_t block, int) {
    saturated += run_queries(launch, order, static_cast<int>(block), sums, taps);
  });
  return saturated;
}

}  // namespace karat::attention
