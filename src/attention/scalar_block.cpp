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

/// Raw accumulators and scores of one row against a block of keys.
struct ScoreRow {
  std::vector<float> a, s;
  float maximum = -kInf;
};

/// What smoothing took from the scores of this query block and key: fl(delta*c), 0 without.
float smoothing_delta(const Launch& launch, int query_block, std::int64_t key) {
  const Smoothed& smoothed = launch.head.smoothed;
  if (smoothed.q_block_means.empty()) return 0.0f;
  const std::size_t d = launch.channels;
  return launch.fp32.multiply(
      chain_one(numerics::instruction("f32.fma"), {&smoothed.q_block_means[query_block * d], d},
                {&smoothed.keys[key * d], d}, numerics::Start::absent, 0.0f),
      launch.c);
}

ScoreRow score_row(const Launch& launch, int query_block, std::int64_t query, video::Range keys) {
  const std::span q(&launch.head.q.values[query * launch.channels], launch.channels);
  ScoreRow row;
  for (std::int64_t key = keys.begin; key < keys.end; ++key) {
    const std::span k(&launch.head.k.values[key * launch.channels], launch.channels);
    row.a.push_back(chain_one(launch.qk, q, k, numerics::Start::absent, 0.0f));
    float s = score(launch, row.a.back(), query, key);
    if (!launch.head.smoothed.q_block_means.empty())
      s = launch.fp32.add(s, smoothing_delta(launch, query_block, key));
    row.s.push_back(launch.layout.mask->keeps(query, key) ? s : launch.masked_score);
    row.maximum = std::max(row.maximum, row.s.back());
  }
  return row;
}

/// P and its codes; all zero where the visit is skipped.
struct ProbabilityRow {
  std::vector<double> p;
  std::vector<CodedP> codes;
};

ProbabilityRow probability_row(const Launch& launch, const ScoreRow& scores,
                               const RowExponent& exponent, bool skipped) {
  ProbabilityRow row;
  for (const float s : scores.s) {
    row.p.push_back(skipped ? 0.0 : probability(launch, s, exponent));
    const std::size_t column = row.codes.size();
    row.codes.push_back(skipped ? CodedP{} : code_p(launch, row.p.back(), column));
  }
  return row;
}

void record(const Launch& launch, const RowState& state, std::size_t i, std::size_t rows,
            std::size_t visit, const ScoreRow& scores, const ProbabilityRow& probabilities,
            BlockTap& tap) {
  for (std::size_t n = 0; n < scores.s.size(); ++n) {
    const std::size_t at = i * tap.key_position.size() + tap.column_begin[visit] + n;
    tap.a[at] = scores.a[n];
    tap.s[at] = scores.s[n];
    tap.p[at] = probabilities.codes[n].value;
    if (!tap.p_codes.empty()) tap.p_codes[at] = probabilities.codes[n].code;
  }
  tap.m[visit * rows + i] = state.m[i];
  tap.l[visit * rows + i] = row_sum(launch, &state.partial[i * 4]);
  std::copy_n(&state.o[i * launch.channels], launch.channels,
              &tap.o[(visit * rows + i) * launch.channels]);
}

}  // namespace

void run_block_scalar(const Launch& launch, int query_block, HeadResult& result, BlockTap* tap,
                      std::int64_t& saturated) {
  const layout::Layout& layout = launch.layout;
  const Fp32& fp = launch.fp32;
  const video::Range queries = layout.blocks.query_blocks[query_block];
  const auto rows = static_cast<std::size_t>(queries.size());
  const auto& visits = layout.blocks.rows[query_block];
  RowState state(launch, rows);
  for (std::size_t visit = 0; visit < visits.size(); ++visit) {
    const video::Range keys = layout.blocks.key_blocks[visits[visit].key_block];
    std::vector<ScoreRow> scores;
    SkipTest test(launch, visit);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::int64_t query = queries.begin + static_cast<std::int64_t>(i);
      scores.push_back(score_row(launch, query_block, query, keys));
      test.row(state.m[i], scores.back().maximum, launch.factor(query, keys.begin));
    }
    for (std::size_t i = 0; i < rows; ++i) {
      const float f = launch.factor(queries.begin + static_cast<std::int64_t>(i), keys.begin);
      const RowExponent exponent = row_exponent(launch, state.m[i], scores[i].maximum, f);
      const auto row = probability_row(launch, scores[i], exponent, test.skips());
      for (const CodedP& code : row.codes) saturated += code.saturated;
      add_to_row_sum(launch, row.p, row.codes, exponent.alpha, &state.partial[i * 4]);
      for (std::size_t j = 0; j < launch.channels; ++j) {
        float& o = state.o[i * launch.channels + j];
        o = test.skips() ? fp.multiply(o, exponent.alpha)
                         : accumulate(launch, o, exponent.alpha, row.codes, keys, j);
      }
      state.m[i] = exponent.m;
      if (tap != nullptr) record(launch, state, i, rows, visit, scores[i], row, *tap);
    }
  }
  finish(launch, queries, state, Path::scalar, result);
}

}  // namespace karat::attention
