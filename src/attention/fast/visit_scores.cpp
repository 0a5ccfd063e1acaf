// Scores of a visit: scales, smoothing, mask, maxima.
#include <algorithm>
#include <limits>

#include "dropped.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/score.hpp"
#include "visit.hpp"

namespace karat::attention {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

void scale(const Visit& v, std::size_t first, Block a, Block s) {
  const Launch& launch = v.launch;
  const auto order = launch.recipe.qk.scale_order;
  if (!launch.scores_scaled) return v.loops.multiply(a.elements(), launch.c, s.elements());
  if (order == recipe::ScaleOrder::fused) {
    if (a.data != s.data) std::copy_n(a.data, a.rows * a.stride, s.data);
    return;
  }
  const std::span row_scale(&v.block.row_scale[first], a.rows);
  const float c = launch.fused ? 1.0f : launch.c;
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
      std::fill_n(s.row(i) + s.columns, s.stride - s.columns, -kInf);
    v.loops.row_maxima(s, {&v.scratch.maxima[first], count});
  }
}

Step advance_rows(const Visit& v, std::size_t visit) {
  const Launch& launch = v.launch;
  const recipe::Recipe& recipe = launch.recipe;
  FastScratch& scratch = v.scratch;
  SkipTest test(launch, visit);
  if (recipe.skip.rule == recipe::SkipRule::block_maximum)
    for (std::size_t i = 0; i < v.rows; ++i)
      test.row(v.block.state.m[i], scratch.maxima[i], v.block.factor[i]);
  const std::size_t count = padded(v.rows);
  const std::span alpha = scratch.alpha.first(count);
  v.loops.advance_maxima({.block_maximum = scratch.maxima.data(),
                          .fused_f = launch.fused ? v.block.factor.data() : nullptr,
                          .threshold = recipe.softmax.rescale_threshold,
                          .offset = launch.offset,
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
  return test.skips() ? Step::skipped : Step::computed;
}

}  // namespace karat::attention
