// Scores of a visit: scales, smoothing, mask, maxima.
#include <algorithm>

#include "backward/loops.hpp"
#include "dropped.hpp"
#include "infinity.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/score.hpp"
#include "visit.hpp"

namespace karat::attention {
namespace {

/// What scales the accumulators beside row and key scales.
float constant_of(const Launch& launch) {
  const bool with_the_query = launch.recipe.qk.scale_order == recipe::ScaleOrder::query_first;
  return launch.fused || with_the_query ? 1.0f : launch.c;
}

/// s of exponents that start from accumulators.
void scale_for_exponents(const Visit& v, std::size_t first, Block a, Block s) {
  const Launch& launch = v.launch;
  const std::span row_scale(&v.block.row_scale[first], a.rows);
  if (!v.scales_first())
    return v.loops.scale_accumulators(a, row_scale, v.packed.k_scale, constant_of(launch),
                                      launch.score_offset,
                                      v.in(v.scratch.factors).rows_from(first, a.rows), s);
  const Block base = v.in(v.scratch.base).rows_from(first, a.rows);
  v.loops.scale_columns(a, row_scale, v.packed.k_scale, 1.0f, recipe::ScaleOrder::product_first,
                        base);
  if (launch.score_offset == 0) return v.loops.multiply(base.elements(), launch.c, s.elements());
  const std::vector<float> offsets(a.rows, launch.score_offset);
  fused_rows(v, first, offsets, s);
  v.loops.multiply(s.elements(), 1.0f, s.elements());  // flushes
}

void scale(const Visit& v, std::size_t first, Block a, Block s) {
  const Launch& launch = v.launch;
  const auto order = launch.recipe.qk.scale_order;
  if (!launch.scores_scaled) return v.loops.multiply(a.elements(), launch.c, s.elements());
  if (order == recipe::ScaleOrder::fused) {
    if (a.data != s.data) std::copy_n(a.data, a.rows * a.stride, s.data);
    return;
  }
  if (launch.from_accumulators) return scale_for_exponents(v, first, a, s);
  const std::span row_scale(&v.block.row_scale[first], a.rows);
  const float c = constant_of(launch);
  const std::vector<float>& k_scale = v.packed.k_scale;
  if (k_scale.size() == 1)
    v.loops.scale_rows(a, row_scale, k_scale[0], c, order, s);
  else
    v.loops.scale_columns(a, row_scale, k_scale, c, order, s);
}

/// fl(delta*c) of every key, delta by one row of the fused FP32 chain; empty without smoothing.
std::span<const float> smoothing_delta(const Visit& v) {
  const Launch& launch = v.launch;
  if (launch.head.smoothed.q_block_means.empty()) return {};
  const std::span delta = v.scratch.delta.first(v.columns);
  chain(numerics::instruction("f32.fma"), v.block.q_mean, v.packed.smoothed,
        numerics::Start::absent, numerics::row_major(delta.data(), 1, v.columns));
  v.loops.multiply(delta, launch.c, delta);
  return delta;
}

}  // namespace

void fused_rows(const Visit& v, std::size_t first, std::span<const float> reference, Block x) {
  const FastScratch& scratch = v.scratch;
  const Block base = v.in(v.scratch.base).rows_from(first, x.rows);
  backward_loops(v.launch.recipe.subnormals)
      .fused_columns(base, {scratch.ones.data(), x.rows},
                     {scratch.ones.data(), x.stride + kPadding}, v.launch.c, reference, x);
}

void score_rows(const Visit& v) {
  const std::span<const float> delta = smoothing_delta(v);
  const mask::Mask& mask = *v.launch.layout.mask;
  for (std::size_t first = 0; first < v.rows; first += v.chunk()) {
    const std::size_t count = std::min(v.chunk(), v.rows - first);
    const Block s = v.scores().rows_from(first, count);
    scale(v, first, v.accumulators().rows_from(first, count), s);
    if (!delta.empty())
      for (std::size_t i = 0; i < count; ++i) v.loops.add({s.row(i), s.columns}, delta);
    const std::int64_t query = v.block.queries.begin + static_cast<std::int64_t>(first);
    const video::Range queries{query, query + static_cast<std::int64_t>(count)};
    if (v.cover != mask::Cover::full)
      fill_dropped(mask, v.launch.masked_score, queries, v.keys, mask.cover(queries, v.keys), s);
    for (std::size_t i = 0; s.columns < s.stride && i < count; ++i)
      std::fill_n(s.row(i) + s.columns, s.stride - s.columns, -kInfinity);
    v.loops.row_maxima(s, {&v.scratch.maxima[first], count});
  }
}

Step advance_rows(const Visit& v, std::size_t visit) {
  const Launch& launch = v.launch;
  const recipe::Recipe& recipe = launch.recipe;
  FastScratch& scratch = v.scratch;
  SkipTest test(launch, visit);
  for (std::size_t i = 0; test.active() && i < v.rows; ++i)
    test.row(i, v.block.state.m[i], scratch.maxima[i], v.block.factor[i]);
  const std::size_t count = padded(v.rows);
  const std::span alpha = scratch.alpha.first(count);
  v.loops.advance_maxima({.block_maximum = scratch.maxima.data(),
                          .fused_f = launch.fused ? v.block.factor.data() : nullptr,
                          .threshold = recipe.softmax.rescale_threshold,
                          .offset = launch.offset,
                          .offset_enters = recipe.p.offset_enters,
                          .m = v.block.state.m.data(),
                          .alpha_exponent = alpha.data(),
                          .reference = scratch.reference.data()},
                         count);
  if (recipe.softmax.exp2 == recipe::Exp2::exact) {
    for (std::size_t i = 0; i < count; ++i) scratch.alpha_exact[i] = alpha[i];
    const std::span exact = scratch.alpha_exact.first(count);
    numerics::exp2_f64(exact, exact);
  } else {
    powers(launch, alpha, alpha);
  }
  if (test.small()) v.block.small_blocks.push_back(v.key_block);
  return test.skips() ? Step::skipped : Step::computed;
}

}  // namespace karat::attention
