// P and dS of a visit, a few rows at a time.
#include "backward/fast_visit.hpp"

#include <algorithm>
#include <limits>

#include "backward/loops.hpp"
#include "fast/dropped.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::attention {
namespace {

using numerics::FormatId;
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Rows [first, first + rows) of a visit.
struct Chunk {
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
void scores(const Chunk& c, const RowLoops& loops, Block a, Block s) {
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
void exponents(const Chunk& c, const RowLoops& loops) {
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
void fill_outside(const Chunk& c, Block x, float value) {
  const BackwardVisit& v = c.v;
  const mask::Mask& mask = *v.launch.layout.mask;
  if (v.cover != mask::Cover::full)
    fill_dropped(mask, value, c.queries(), v.keys, mask.cover(c.queries(), v.keys), x);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const std::size_t from = c.l[i] == kInf ? 0 : x.columns;
    std::fill(x.row(i) + from, x.row(i) + x.stride, value);
  }
}

void probabilities(const Chunk& c, const RowLoops& loops) {
  const std::span<float> p(c.p.data, c.elements());
  if (c.v.launch.recipe.softmax.exp2 != recipe::Exp2::exact) return powers(c.v.launch, p, p);
  const std::span<double> exact = c.v.scratch.exact.first(c.elements());
  widen(p, exact);
  numerics::exp2_f64(exact, exact);
  narrow_nearest(exact, 1.0, p);
  loops.multiply(p, 1.0f, p);  // flushes, or not
}

void gradients(const Chunk& c, const RowLoops& loops) {
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

/// How P or dS becomes an operand.
struct Making {
  const quant::Rule& rule;
  Lines<float>& from;
  Lines<float>& values;
  Lines<std::uint8_t>& codes;

  bool kept() const { return rule.format == FormatId::f32; }
  bool coded() const { return quant::has_scale(rule.format); }
  /// Rows can be coded one after the other.
  bool by_rows() const { return !coded() || rule.scale_rule == quant::ScaleRule::given; }
};

void round(std::span<const float> from, std::span<float> to, FormatId format,
           numerics::Policy policy, Lines<std::uint16_t>& scratch) {
  const std::span codes = scratch.first(from.size());
  numerics::encode(from, codes, format, policy);
  numerics::decode(codes, to, format);
}

/// Some rows of a whole block, `by_rows()`.
void make_rows(const BackwardVisit& v, const Making& m, std::size_t first, std::size_t count,
               MadeOperand& made) {
  if (m.kept()) return;
  const std::size_t at = first * v.stride(), size = count * v.stride();
  const std::span<const float> from(&m.from[at], size);
  const std::span<float> to(&m.values[at], size);
  const numerics::Policy policy{.rounding = m.rule.rounding, .overflow = m.rule.overflow};
  if (!m.coded()) return round(from, to, m.rule.format, policy, v.scratch.wide_codes);
  const RowLoops& flushing = row_loops(numerics::Subnormals::flush);
  const std::span<float> scaled = v.scratch.x.first(size);
  const std::span<std::uint8_t> codes(&m.codes[at], size);
  flushing.multiply(from, m.rule.multiplier, scaled);
  made.saturated +=
      static_cast<std::int64_t>(flushing.count_above(scaled, quant::largest_finite(m.rule.format)));
  numerics::encode(scaled, codes, m.rule.format, policy);
  numerics::decode(codes, to, m.rule.format);
  if (m.rule.enters == quant::Enters::codes) return;
  flushing.multiply(to, quant::scale_of(1.0f, m.rule), to);
  round(to, to, FormatId::bf16, quant::cast_policy(FormatId::bf16), v.scratch.wide_codes);
}

/// A whole block whose scales follow from what is in it.
void make_block(const BackwardVisit& v, const Making& m, MadeOperand& made) {
  const numerics::MatrixView<const float> from{m.from.data(), v.rows(), v.columns(), v.stride(), 1};
  const quant::Quantised x = visit_operand(m.rule, from, numerics::Path::fast);
  for (std::size_t i = 0; i < v.rows(); ++i) {
    std::copy_n(&x.values[i * v.columns()], v.columns(), &m.values[i * v.stride()]);
    if (!x.codes.empty())
      std::copy_n(&x.codes[i * v.columns()], v.columns(), &m.codes[i * v.stride()]);
  }
  made.scale = visit_scale(x);
  made.saturated = saturated_codes(m.rule, from);
}

void finish(const BackwardVisit& v, const Making& m, MadeOperand& made) {
  const Lines<float>& values = m.kept() ? m.from : m.values;
  made.values = {values.data(), v.rows(), v.columns(), v.stride(), 1};
  if (!quant::leaves_scales(m.rule)) return;
  made.codes = m.codes.data();
  if (m.by_rows()) made.scale = quant::scale_of(1.0f, m.rule);
}

}  // namespace

MadeOperands make_operands(const BackwardVisit& v) {
  const BackwardLaunch& launch = v.launch;
  const RowLoops& loops = row_loops(launch.recipe.subnormals);
  BackwardScratch& scratch = v.scratch;
  const Making p{launch.backward.p, scratch.p, scratch.p_values, scratch.p_codes};
  const Making ds{launch.backward.ds, scratch.ds, scratch.ds_values, scratch.ds_codes};
  MadeOperands made;
  // What the loops touch stays in the first-level cache.
  const std::size_t rows_at_once = std::max<std::size_t>(8, 2048 / v.stride() / 8 * 8);
  for (std::size_t first = 0; first < v.rows(); first += rows_at_once) {
    const std::size_t count = std::min(rows_at_once, v.rows() - first);
    const auto begin = static_cast<std::size_t>(v.queries.begin) + first;
    const Chunk chunk{.v = v,
                      .first = first,
                      .s = v.in(scratch.s).rows_from(first, count),
                      .p = v.in(scratch.p).rows_from(first, count),
                      .dp = v.in(scratch.dp).rows_from(first, count),
                      .ds = v.in(scratch.ds).rows_from(first, count),
                      .row_scale = std::span(v.packed.s_q).subspan(first, count),
                      .l = std::span(launch.l).subspan(begin, count),
                      .delta = std::span(launch.delta).subspan(begin, count)};
    exponents(chunk, loops);
    fill_outside(chunk, chunk.p, -kInf);
    probabilities(chunk, loops);
    gradients(chunk, loops);
    if (p.by_rows()) make_rows(v, p, first, count, made.p);
    if (ds.by_rows()) make_rows(v, ds, first, count, made.ds);
  }
  if (!p.by_rows()) make_block(v, p, made.p);
  if (!ds.by_rows()) make_block(v, ds, made.ds);
  finish(v, p, made.p);
  finish(v, ds, made.ds);
  return made;
}

}  // namespace karat::attention
