// One query block: S by the tensor-core chain, softmax by vector loops over the whole block, PV.
#include "fast_block.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "elements.hpp"
#include "karat/numerics/convert.hpp"
#include "karat/numerics/parallel.hpp"
#include "softmax_rows.hpp"

namespace karat::attention {
namespace {

using numerics::FormatId;
using numerics::MatrixView;
using numerics::Start;
constexpr float kInf = std::numeric_limits<float>::infinity();
/// Floats behind an array that a vector load may touch.
constexpr std::size_t kPadding = 64;

/// One visit: a query block meets a key block.
struct Visit {
  const Launch& launch;
  FastScratch& scratch;
  RowState& state;
  video::Range queries, keys;
  std::size_t rows, columns;

  Block block(std::vector<float>& buffer) const { return {buffer.data(), rows, columns, columns}; }
  std::size_t elements() const { return rows * columns; }
};

void reserve(FastScratch& scratch, std::size_t rows, std::size_t columns, std::size_t channels) {
  const std::size_t elements = rows * columns + kPadding;
  for (auto* buffer : {&scratch.a, &scratch.s, &scratch.x, &scratch.p_values})
    if (buffer->size() < elements) buffer->resize(elements);
  if (scratch.codes.size() < elements) scratch.codes.resize(elements);
  if (scratch.wide_codes.size() < elements) scratch.wide_codes.resize(elements);
  for (auto* buffer :
       {&scratch.row_scale, &scratch.maxima, &scratch.reference, &scratch.factor, &scratch.alpha})
    if (buffer->size() < rows + kPadding) buffer->resize(rows + kPadding);
  const std::size_t widest = std::max(columns, channels) + kPadding;
  if (scratch.column_scale.size() < widest) scratch.column_scale.resize(widest);
  if (scratch.alpha_exact.size() < rows) scratch.alpha_exact.resize(rows);
  if (scratch.t.size() < rows * channels) scratch.t.resize(rows * channels);
}

/// Adds fl(delta*c) to every score, delta by one row of the fused FP32 chain.
void add_smoothing_delta(const Visit& v, int query_block) {
  const Launch& launch = v.launch;
  const Smoothed& smoothed = launch.head.smoothed;
  if (smoothed.q_block_means.empty()) return;
  const std::size_t d = launch.channels;
  const auto& fma = numerics::instruction("f32.fma");
  numerics::RowOperand mean;
  numerics::ColumnOperand keys;
  mean.pack(fma, numerics::row_major(&smoothed.q_block_means[query_block * d], 1, d));
  keys.pack(fma, numerics::row_major(&smoothed.keys[v.keys.begin * d], v.columns, d));
  std::vector<float> delta(v.columns);
  chain(fma, mean, keys, Start::absent, numerics::row_major(delta.data(), 1, v.columns));
  multiply(delta, launch.c, launch.recipe.subnormals, delta);
  for (std::size_t i = 0; i < v.rows; ++i)
    add({&v.scratch.s[i * v.columns], v.columns}, delta, launch.recipe.subnormals);
}

void scale_and_mask(const Visit& v, mask::Cover cover, int query_block) {
  const Launch& launch = v.launch;
  FastScratch& scratch = v.scratch;
  const auto sub = launch.recipe.subnormals;
  const auto order = launch.recipe.qk.scale_order;
  if (!launch.scores_scaled) {
    scale_scores(v.block(scratch.a), launch.c, sub, v.block(scratch.s));
  } else if (order == recipe::ScaleOrder::fused) {
    std::copy_n(scratch.a.begin(), v.elements(), scratch.s.begin());
  } else {
    for (std::size_t n = 0; n < v.columns; ++n)
      scratch.column_scale[n] = launch.k_scale(v.keys.begin + static_cast<std::int64_t>(n));
    const float c = launch.fused ? 1.0f : launch.c;
    scale_scores(v.block(scratch.a), scratch.row_scale, scratch.column_scale, c, order, sub,
                 v.block(scratch.s));
  }
  add_smoothing_delta(v, query_block);
  if (cover == mask::Cover::full) return;
  for (std::size_t i = 0; i < v.rows; ++i)
    for (std::size_t n = 0; n < v.columns; ++n)
      if (!launch.layout.mask->keeps(v.queries.begin + static_cast<std::int64_t>(i),
                                     v.keys.begin + static_cast<std::int64_t>(n)))
        scratch.s[i * v.columns + n] = launch.masked_score;
}

/// m, alpha and, per row, what P's exponent subtracts. Rows without any finite score yet refer to
/// 0: their scores are all -inf, so P = 0.
/// @return whether the visit's exponentials, row sum and P V are left out.
bool advance_maxima(const Visit& v, std::size_t visit) {
  const Launch& launch = v.launch;
  FastScratch& scratch = v.scratch;
  const Fp32& fp = launch.fp32;
  const float offset =
      launch.recipe.p.apply == recipe::PApply::exponent_offset ? launch.recipe.p.offset : 0.0f;
  row_maxima(v.block(scratch.s), scratch.maxima);
  SkipTest test(launch, visit);
  for (std::size_t i = 0; i < v.rows; ++i) {
    const float f = scratch.factor[i];
    test.row(v.state.m[i], scratch.maxima[i], f);
    const RowExponent step = row_exponent(launch, v.state.m[i], scratch.maxima[i], f);
    v.state.m[i] = step.m;
    scratch.alpha_exact[i] = step.alpha;
    scratch.alpha[i] = static_cast<float>(step.alpha);
    const float scaled = launch.fused ? fp.multiply(step.m, f) : step.m;
    scratch.reference[i] = step.m == -kInf ? 0.0f : fp.add(scaled, -offset);
  }
  return test.skips();
}

void rescale_outputs(const Visit& v) {
  const std::size_t channels = v.launch.channels;
  if (v.launch.recipe.softmax.exp2 == recipe::Exp2::rounded)
    return multiply_rows({v.state.o.data(), v.rows, channels, channels}, v.scratch.alpha,
                         v.launch.recipe.subnormals);
  for (std::size_t i = 0; i < v.rows; ++i)
    for (std::size_t j = 0; j < channels; ++j) {
      float& o = v.state.o[i * channels + j];
      o = v.launch.fp32.multiply(o, v.scratch.alpha_exact[i]);
    }
}

/// What a skipped visit still does: the past is rescaled; its P counts as zero.
void skip_visit(const Visit& v) {
  for (std::size_t i = 0; i < v.rows; ++i)
    for (int lane = 0; lane < 4; ++lane) {
      float& l = v.state.partial[i * 4 + lane];
      l = v.launch.fp32.multiply(l, v.scratch.alpha_exact[i]);
    }
  rescale_outputs(v);
  std::fill_n(v.scratch.p_values.begin(), v.elements(), 0.0f);
  std::fill_n(v.scratch.codes.begin(), v.elements(), std::uint8_t{0});
}

void row_sums_wgmma_quad(const Visit& v, const float* terms) {
  const Fp32& fp = v.launch.fp32;
  for (std::size_t i = 0; i < v.rows; ++i) {
    const float* row = terms + i * v.columns;
    float* l = &v.state.partial[i * 4];
    for (int lane = 0; lane < 4; ++lane) l[lane] = fp.multiply(l[lane], v.scratch.alpha[i]);
    std::size_t n = 0;
    // Sums of numbers that are zero or normal and not negative are never subnormal: no flush.
    for (; n + 8 <= v.columns; n += 8)
      for (int lane = 0; lane < 4; ++lane)
        l[lane] = (l[lane] + row[n + 2 * lane]) + row[n + 2 * lane + 1];
    for (; n < v.columns; ++n) l[(n >> 1) & 3] += row[n];
  }
}

/// P, its codes and the row sums in f32, whole blocks at a time.
void softmax_rounded(const Visit& v, std::int64_t& saturated) {
  const Launch& launch = v.launch;
  const recipe::Recipe& recipe = launch.recipe;
  FastScratch& scratch = v.scratch;
  const std::size_t count = v.elements();
  if (launch.fused)
    fused_rows(v.block(scratch.s), scratch.factor, scratch.reference, recipe.subnormals,
               v.block(scratch.x));
  else
    subtract_rows(v.block(scratch.s), scratch.reference, recipe.subnormals, v.block(scratch.x));
  const std::span<float> x(scratch.x.data(), count);
  const std::span<float> values(scratch.p_values.data(), count);
  numerics::exp2_rounded(x, x, recipe.subnormals);  // x now holds P

  const bool scaled = recipe.p.apply == recipe::PApply::multiply && recipe.p.multiplier != 1.0f;
  if (scaled)
    multiply(x, recipe.p.multiplier, recipe.subnormals, values);
  else
    std::copy_n(x.data(), count, values.data());
  const auto policy = quant::cast_policy(recipe.p.format, recipe.p.rounding, recipe.p.overflow);
  if (quant::has_scale(recipe.p.format)) {
    const std::span<std::uint8_t> codes(scratch.codes.data(), count);
    saturated += count_above(values, launch.largest_p);
    numerics::encode(values, codes, recipe.p.format, policy);
    numerics::decode(codes, values, recipe.p.format);
  } else if (recipe.p.format != FormatId::f32) {
    const std::span<std::uint16_t> codes(scratch.wide_codes.data(), count);
    numerics::encode(values, codes, recipe.p.format, policy);
    numerics::decode(codes, values, recipe.p.format);
  }
  if (recipe.softmax.row_sum == recipe::RowSum::quantized) {
    const float inverse = recipe.p.apply == recipe::PApply::multiply
                              ? launch.fp32.flushed(1.0f / recipe.p.multiplier)
                              : 1.0f;
    multiply(values, inverse, recipe.subnormals, x);
  }
  if (recipe.softmax.row_sum_order == recipe::RowSumOrder::wgmma_quad &&
      recipe.subnormals == numerics::Subnormals::flush)
    return row_sums_wgmma_quad(v, x.data());
  std::vector<double> terms(v.columns);
  for (std::size_t i = 0; i < v.rows; ++i) {
    std::copy_n(&x[i * v.columns], v.columns, terms.begin());
    add_terms_to_row_sum(launch, terms, scratch.alpha[i], &v.state.partial[i * 4]);
  }
}

/// The same with P in f64, element by element.
void softmax_exact(const Visit& v, std::int64_t& saturated) {
  FastScratch& scratch = v.scratch;
  std::vector<double> p(v.columns);
  std::vector<CodedP> codes(v.columns);
  for (std::size_t i = 0; i < v.rows; ++i) {
    const RowExponent row{v.state.m[i], scratch.alpha_exact[i], scratch.factor[i]};
    for (std::size_t n = 0; n < v.columns; ++n) {
      const std::size_t e = i * v.columns + n;
      p[n] = probability(v.launch, scratch.s[e], row);
      codes[n] = code_p(v.launch, p[n]);
      scratch.p_values[e] = codes[n].value;
      scratch.codes[e] = codes[n].code;
      saturated += codes[n].saturated;
    }
    add_to_row_sum(v.launch, p, codes, row.alpha, &v.state.partial[i * 4]);
  }
}

void multiply_by_v(const Visit& v, const std::vector<numerics::ColumnOperand>& packed_v) {
  const Launch& launch = v.launch;
  FastScratch& scratch = v.scratch;
  const std::size_t channels = launch.channels;
  rescale_outputs(v);
  const auto segments = launch.segments(v.keys);
  for (std::size_t part = 0; part < segments.size(); ++part) {
    const video::Range segment = segments[part];
    const MatrixView<const float> p{&scratch.p_values[segment.begin - v.keys.begin], v.rows,
                                    static_cast<std::size_t>(segment.size()), v.columns, 1};
    scratch.p.pack(launch.pv, p);
    if (launch.recipe.pv.promote_every == 0) {
      chain(launch.pv, scratch.p, packed_v[part], Start::from_d,
            numerics::row_major(v.state.o.data(), v.rows, channels));
      continue;
    }
    chain(launch.pv, scratch.p, packed_v[part], Start::absent,
          numerics::row_major(scratch.t.data(), v.rows, channels));
    const std::span<float> t(scratch.t.data(), v.rows * channels);
    if (launch.v_scaled_per_block) {
      for (std::size_t j = 0; j < channels; ++j)
        scratch.column_scale[j] = launch.head.v.scale(segment.begin, j);
      multiply_columns({t.data(), v.rows, channels, channels}, scratch.column_scale,
                       launch.recipe.subnormals);
    }
    add({v.state.o.data(), t.size()}, t, launch.recipe.subnormals);
  }
}

void record(const Visit& v, std::size_t visit, BlockTap& tap) {
  const std::size_t width = tap.key_position.size();
  const auto copy = [&](const auto& from, auto& to) {
    if (to.empty()) return;
    for (std::size_t i = 0; i < v.rows; ++i)
      std::copy_n(&from[i * v.columns], v.columns, &to[i * width + tap.column_begin[visit]]);
  };
  copy(v.scratch.a, tap.a);
  copy(v.scratch.s, tap.s);
  copy(v.scratch.p_values, tap.p);
  copy(v.scratch.codes, tap.p_codes);
  for (std::size_t i = 0; i < v.rows; ++i) {
    tap.m[visit * v.rows + i] = v.state.m[i];
    tap.l[visit * v.rows + i] = row_sum(v.launch, &v.state.partial[i * 4]);
  }
  std::copy_n(v.state.o.begin(), v.rows * v.launch.channels,
              &tap.o[visit * v.rows * v.launch.channels]);
}

}  // namespace

PackedHead pack_head(const Launch& launch, const std::vector<int>& query_blocks, int threads) {
  const mask::BlockMap& blocks = launch.layout.blocks;
  std::vector<char> visited(blocks.key_blocks.size(), 0);
  for (const int block : query_blocks)
    for (const auto& entry : blocks.rows[block]) visited[entry.key_block] = 1;
  PackedHead packed;
  packed.k.resize(blocks.key_blocks.size());
  packed.v.resize(blocks.key_blocks.size());
  numerics::parallel_for(visited.size(), threads, [&](std::size_t block, int) {
    if (!visited[block]) return;
    const video::Range keys = blocks.key_blocks[block];
    packed.k[block].pack(launch.qk, launch.head.k.view().rows_from(keys.begin, keys.size()));
    for (const video::Range segment : launch.segments(keys)) {
      packed.v[block].emplace_back();
      packed.v[block].back().pack(
          launch.pv, launch.head.v.view().rows_from(segment.begin, segment.size()).transposed());
    }
  });
  return packed;
}

void run_block_fast(const Launch& launch, const PackedHead& packed, int query_block,
                    FastScratch& scratch, HeadResult& result, BlockTap* tap,
                    std::int64_t& saturated) {
  const Layout& layout = launch.layout;
  const video::Range queries = layout.blocks.query_blocks[query_block];
  const auto rows = static_cast<std::size_t>(queries.size());
  const auto& visits = layout.blocks.rows[query_block];
  RowState state(launch, rows);
  scratch.q.pack(launch.qk, launch.head.q.view().rows_from(queries.begin, queries.size()));
  for (std::size_t visit = 0; visit < visits.size(); ++visit) {
    const std::int32_t key_block = visits[visit].key_block;
    const video::Range keys = layout.blocks.key_blocks[key_block];
    const Visit v{
        launch, scratch, state, queries, keys, rows, static_cast<std::size_t>(keys.size())};
    reserve(scratch, rows, v.columns, launch.channels);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::int64_t query = queries.begin + static_cast<std::int64_t>(i);
      scratch.row_scale[i] = launch.q_scale(query);
      scratch.factor[i] = launch.factor(query, keys.begin);
    }
    chain(launch.qk, scratch.q, packed.k[key_block], Start::absent,
          numerics::row_major(scratch.a.data(), rows, v.columns));
    scale_and_mask(v, visits[visit].cover, query_block);
    if (advance_maxima(v, visit)) {
      skip_visit(v);
    } else {
      if (launch.recipe.softmax.exp2 == recipe::Exp2::exact)
        softmax_exact(v, saturated);
      else
        softmax_rounded(v, saturated);
      multiply_by_v(v, packed.v[key_block]);
    }
    if (tap != nullptr) record(v, visit, *tap);
  }
  finish(launch, queries, state, result);
}

}  // namespace karat::attention
