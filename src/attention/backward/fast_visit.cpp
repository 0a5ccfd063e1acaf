// P and dS of a visit, a few rows at a time.
#include "backward/fast_visit.hpp"

#include <algorithm>

#include "backward/loops.hpp"
#include "backward/making.hpp"
#include "fast/dropped.hpp"
#include "infinity.hpp"

namespace karat::attention {
namespace {

/// Rows [first, first + rows) of a visit.
struct GradientChunk {
  const BackwardVisit& v;
  std::size_t first;
  Block s, p, dp, ds;
  std::span<const float> row_scale, l, delta;

  std::size_t elements() const { return s.rows * s.stride; }
  video::Range queries() const {
    const std::int64_t begin = v.queries.begin + static_cast<std::int64_t>(first);
    return {begin, begin + static_cast<std::int64_t>(s.rows)};
  }
};

void scale(const RowLoops& loops, Block a, std::span<const float> rows,
           const std::vector<float>& columns, float c, recipe::ScaleOrder order, Block s) {
  if (columns.size() == 1)
    loops.scale_rows(a, rows, columns[0], c, order, s);
  else
    loops.scale_columns(a, rows, columns, c, order, s);
}

bool scaled_then_fused(const BackwardLaunch& launch) {
  return launch.forward_scores() &&
         launch.recipe.qk.scale_order == recipe::ScaleOrder::scaled_then_fused;
}

/// backward_score() of each element of a.
void scores(const GradientChunk& c, const RowLoops& loops, Block a, Block s) {
  using recipe::ScaleOrder;
  const BackwardLaunch& launch = c.v.launch;
  const std::vector<float>& s_k = c.v.scratch.keys.s_k;
  const bool sequential =
      launch.forward_scores() && launch.recipe.qk.scale_order == ScaleOrder::sequential;
  const auto order = sequential ? ScaleOrder::sequential : ScaleOrder::product_first;
  const bool twice = scaled_then_fused(launch);
  scale(loops, a, c.row_scale, s_k, twice ? 1.0f : launch.c, order, s);
  if (twice) loops.multiply(s.elements(), launch.c, s.elements());
}

/// backward_exponent() of each element, from the accumulators into p; dropped pairs get -Inf.
void exponents(const GradientChunk& c, const RowLoops& loops) {
  const BackwardLaunch& launch = c.v.launch;
  const BackwardLoops& own = backward_loops(launch.recipe.subnormals);
  const std::vector<float>& s_k = c.v.scratch.keys.s_k;
  if (launch.backward.exponent == recipe::PExponent::separate) {
    scores(c, loops, c.s, c.s);
    loops.subtract_rows(c.s, c.l, c.p);
  } else {
    if (scaled_then_fused(launch)) {
      scale(loops, c.s, c.row_scale, s_k, 1.0f, recipe::ScaleOrder::product_first, c.p);
      const std::vector<float> ones(c.s.rows, 1.0f), columns(c.s.stride, 1.0f);
      own.fused_columns(c.p, ones, columns, launch.c, c.l, c.p);
    } else {
      std::vector<float> same;
      if (s_k.size() == 1) same.assign(c.s.stride, s_k[0]);
      own.fused_columns(c.s, c.row_scale, same.empty() ? s_k : same, launch.c, c.l, c.p);
    }
    if (c.v.tapped) scores(c, loops, c.s, c.s);
  }
}

/// Elements of dropped pairs, of rows without keys and behind the columns become `value`.
void fill_outside(const GradientChunk& c, Block x, float value) {
  const BackwardVisit& v = c.v;
  const mask::Mask& mask = *v.launch.layout.mask;
  if (v.cover != mask::Cover::full)
    fill_dropped(mask, value, c.queries(), v.keys, mask.cover(c.queries(), v.keys), x);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const std::size_t from = c.l[i] == kInfinity ? 0 : x.columns;
    std::fill(x.row(i) + from, x.row(i) + x.stride, value);
  }
}

void probabilities(const GradientChunk& c, const RowLoops& loops) {
  const std::span<float> p(c.p.data, c.elements());
  if (c.v.launch.recipe.softmax.exp2 != recipe::Exp2::exact) return powers(c.v.launch, p, p);
  const std::span<double> exact = c.v.scratch.exact.first(c.elements());
  widen(p, exact);
  numerics::exp2_f64(exact, exact);
  narrow_nearest(exact, 1.0, p);
  loops.multiply(p, 1.0f, p);  // flushes, or not
}

void gradients(const GradientChunk& c, const RowLoops& loops) {
  const BackwardLaunch& launch = c.v.launch;
  for (std::size_t i = 0; c.dp.columns < c.dp.stride && i < c.dp.rows; ++i)
    std::fill(c.dp.row(i) + c.dp.columns, c.dp.row(i) + c.dp.stride, 0.0f);
  const std::vector<float>& s_d_o = c.v.packed.s_d_o;
  if (!s_d_o.empty())
    scale(loops, c.dp, {&s_d_o[c.first], c.dp.rows}, c.v.scratch.keys.s_v, 1.0f,
          recipe::ScaleOrder::product_first, c.dp);
  backward_loops(launch.recipe.subnormals)
      .score_gradients(c.p, c.dp, c.delta, launch.scales_ds() ? &launch.root : nullptr, c.ds);
  fill_outside(c, c.ds, 0.0f);
}

}  // namespace

MadeOperands make_operands(const BackwardVisit& v) {
  const BackwardLaunch& launch = v.launch;
  const RowLoops& loops = row_loops(launch.recipe.subnormals);
  BackwardScratch& scratch = v.scratch;
  Making p(v, launch.backward.p, scratch.p, scratch.p_values, scratch.p_codes);
  Making ds(v, launch.backward.ds, scratch.ds, scratch.ds_values, scratch.ds_codes);
  for (std::size_t first = 0; first < v.rows(); first += v.rows_at_once()) {
    const std::size_t count = std::min(v.rows_at_once(), v.rows() - first);
    const auto begin = static_cast<std::size_t>(v.queries.begin) + first;
    const GradientChunk chunk{.v = v,
                              .first = first,
                              .s = v.in(scratch.s).rows_from(first, count),
                              .p = v.in(scratch.p).rows_from(first, count),
                              .dp = v.in(scratch.dp).rows_from(first, count),
                              .ds = v.in(scratch.ds).rows_from(first, count),
                              .row_scale = std::span(v.packed.s_q).subspan(first, count),
                              .l = std::span(launch.l).subspan(begin, count),
                              .delta = std::span(launch.delta).subspan(begin, count)};
    exponents(chunk, loops);
    fill_outside(chunk, chunk.p, -kInfinity);
    probabilities(chunk, loops);
    gradients(chunk, loops);
    p.rows(first, count);
    ds.rows(first, count);
  }
  return {.p = p.finish(), .ds = ds.finish()};
}

}  // namespace karat::attention
