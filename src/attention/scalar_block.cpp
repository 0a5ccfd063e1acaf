// The slow engine: one query block, one element at a time, in the words of docs/recipes.
#include <algorithm>
#include <limits>

#include "elements.hpp"

namespace karat::attention {
namespace {

using numerics::Path;
constexpr float kInf = std::numeric_limits<float>::infinity();

float chain_one(const numerics::Instruction& instruction, std::span<const float> a,
                std::span<const float> b, numerics::Start start, float c) {
  numerics::RowOperand row;
  numerics::ColumnOperand column;
  row.pack(instruction, numerics::row_major(a.data(), 1, a.size()));
  column.pack(instruction, numerics::row_major(b.data(), 1, b.size()));
  numerics::chain(instruction, row, column, start, numerics::row_major(&c, 1, 1), Path::scalar);
  return c;
}

/// O of one row and channel after this block.
float accumulate(const Launch& launch, float o, double alpha, std::span<const CodedP> p,
                 video::Range keys, std::size_t channel) {
  const Fp32& fp = launch.fp32;
  float result = fp.multiply(o, alpha);
  for (const video::Range segment : launch.segments(keys)) {
    std::vector<float> row, column;
    for (std::int64_t key = segment.begin; key < segment.end; ++key) {
      row.push_back(p[key - keys.begin].value);
      column.push_back(launch.head.v.view()(key, channel));
    }
    if (launch.recipe.pv.promote_every == 0) {
      result = chain_one(launch.pv, row, column, numerics::Start::from_d, result);
      continue;
    }
    float t = chain_one(launch.pv, row, column, numerics::Start::absent, 0.0f);
    if (launch.v_scaled_per_block) t = fp.multiply(t, launch.head.v.scale(segment.begin, channel));
    result = fp.add(result, t);
  }
  return result;
}

}  // namespace

void run_block_scalar(const Launch& launch, int query_block, HeadResult& result, BlockTap* tap,
                      std::int64_t& saturated) {
  const Layout& layout = launch.layout;
  const video::Range queries = layout.blocks.query_blocks[query_block];
  const auto rows = static_cast<std::size_t>(queries.size());
  const auto& visits = layout.blocks.rows[query_block];
  RowState state(launch, rows);
  for (std::size_t visit = 0; visit < visits.size(); ++visit) {
    const video::Range keys = layout.blocks.key_blocks[visits[visit].key_block];
    const auto columns = static_cast<std::size_t>(keys.size());
    for (std::size_t i = 0; i < rows; ++i) {
      const std::int64_t query = queries.begin + static_cast<std::int64_t>(i);
      std::vector<float> a(columns), s(columns);
      std::vector<double> p(columns);
      std::vector<CodedP> codes(columns);
      float block_maximum = -kInf;
      for (std::size_t n = 0; n < columns; ++n) {
        const std::int64_t key = keys.begin + static_cast<std::int64_t>(n);
        a[n] = chain_one(launch.qk, {&launch.head.q.values[query * launch.channels], launch.channels},
                         {&launch.head.k.values[key * launch.channels], launch.channels},
                         numerics::Start::absent, 0.0f);
        s[n] = layout.mask->keeps(query, key) ? score(launch, a[n], query, key)
                                              : launch.masked_score;
        if (s[n] > block_maximum) block_maximum = s[n];
      }
      const Fp32& fp = launch.fp32;
      const float f = fp.multiply(fp.multiply(launch.q_scale(query), launch.k_scale(keys.begin)),
                                  launch.c);
      const RowExponent exponent = row_exponent(launch, state.m[i], block_maximum, f);
      for (std::size_t n = 0; n < columns; ++n) {
        p[n] = probability(launch, s[n], exponent);
        codes[n] = code_p(launch, p[n]);
        saturated += codes[n].saturated;
      }
      add_to_row_sum(launch, p, codes, exponent.alpha, &state.partial[i * 4]);
      for (std::size_t j = 0; j < launch.channels; ++j) {
        float& o = state.o[i * launch.channels + j];
        o = accumulate(launch, o, exponent.alpha, codes, keys, j);
      }
      state.m[i] = exponent.m;
      if (tap == nullptr) continue;
      for (std::size_t n = 0; n < columns; ++n) {
        const std::size_t at = i * tap->key_position.size() + tap->column_begin[visit] + n;
        tap->a[at] = a[n];
        tap->s[at] = s[n];
        tap->p[at] = codes[n].value;
        if (!tap->p_codes.empty()) tap->p_codes[at] = codes[n].code;
      }
      tap->m[visit * rows + i] = state.m[i];
      tap->l[visit * rows + i] = row_sum(launch, &state.partial[i * 4]);
      std::copy_n(&state.o[i * launch.channels], launch.channels,
                  &tap->o[(visit * rows + i) * launch.channels]);
    }
  }
  finish(launch, queries, state, result);
}

}  // namespace karat::attention
