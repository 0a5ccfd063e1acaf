// P of a visit, a few rows at a time: exponentials, the cast to P's format and back, row sums.
#include <algorithm>
#include <optional>
#include <type_traits>

#include "karat/attention/operations/probability.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "visit.hpp"

namespace karat::attention {
namespace {

using numerics::FormatId;

/// Rows [first, first + rows) of a visit.
struct SoftmaxChunk {
  const Visit& v;
  std::size_t first;
  Block s;
  Block p;                        ///< what the PV instruction reads
  std::span<std::uint8_t> codes;  ///< of p, where its format has 8 bits

  std::size_t elements() const { return s.rows * s.stride; }
  BlockOf<float> x() const { return {v.scratch.x.data(), s.rows, s.columns, s.stride}; }
  /// The columns of a block of these rows, without what lies behind them.
  numerics::MatrixView<const float> view(const Block& block) const {
    return {block.data, block.rows, block.columns, block.stride, 1};
  }
};

/// Exponents of 2, into x.
void exponents(const SoftmaxChunk& c, Block x) {
  const FastScratch& scratch = c.v.scratch;
  const std::span reference(&scratch.reference[c.first], c.s.rows);
  if (c.v.launch.from_accumulators && c.v.scales_first()) {
    fused_rows(c.v, c.first, reference, x);
    c.v.loops.keep_masked(c.s, c.v.launch.masked_score, reference, x);
  } else if (c.v.launch.from_accumulators) {
    c.v.loops.exponents_of_accumulators(c.v.accumulators().rows_from(c.first, x.rows),
                                        c.v.in(c.v.scratch.factors).rows_from(c.first, x.rows), c.s,
                                        c.v.launch.masked_score, reference, x);
  } else if (c.v.launch.fused)
    c.v.loops.fused_rows(c.s, {&c.v.block.factor[c.first], c.s.rows}, reference, x);
  else
    c.v.loops.subtract_rows(c.s, reference, x);
  if (c.v.tap == nullptr || c.v.tap->x.empty()) return;
  const std::size_t width = c.v.tap->key_position.size();
  // Bounds tell numbers from zeros: times 1 flushes where the recipe does.
  for (std::size_t i = 0; i < x.rows; ++i)
    c.v.loops.multiply({x.row(i), x.columns}, 1.0f,
                       {&c.v.tap->x[(c.first + i) * width + c.v.tap_column], x.columns});
}

/// Stochastic rounding draws word j of a stream for column j of every row.
template <typename Code>
void encode_rows(const SoftmaxChunk& c, std::span<const float> values, std::span<Code> codes) {
  const recipe::P& rule = c.v.launch.recipe.p;
  const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
  const bool by_row = rule.rounding == numerics::Rounding::stochastic;
  const std::size_t size = by_row ? c.s.stride : c.elements();
  for (std::size_t at = 0; at < c.elements(); at += size)
    numerics::encode(values.subspan(at, size), codes.subspan(at, size), rule.format, policy);
}

/// cast() of rows whose groups have scales of their own.
std::int64_t cast_groups(const SoftmaxChunk& c, std::span<const float> values) {
  std::int64_t saturated = 0;
  const bool has_codes = quant::leaves_scales(c.v.launch.p_rule);
  std::copy(values.begin(), values.end(), c.p.data);
  for (std::size_t i = 0; i < c.p.rows; ++i) {
    const std::span row(c.p.row(i), c.p.columns);
    const std::span codes = c.codes.subspan(i * c.p.stride, has_codes ? c.p.columns : 0);
    const CastRow made = cast_p(c.v.launch, row, numerics::Path::fast, codes);
    saturated += made.saturated;
    c.v.scratch.p_scale[c.first + i] = made.scale;
  }
  return saturated;
}

/// p = what `values` become in P's format, which is not f32; its codes beside it.
/// @return how many saturate.
std::int64_t cast_terms(const SoftmaxChunk& c, std::span<const float> values) {
  if (c.v.launch.p_grouped) return cast_groups(c, values);
  const recipe::P& rule = c.v.launch.recipe.p;
  const std::span<float> p(c.p.data, c.elements());
  if (quant::has_scale(rule.format)) {
    encode_rows(c, values, c.codes);
    const std::size_t saturated = c.v.loops.count_above(values, c.v.launch.largest_p);
    numerics::decode(c.codes, p, rule.format);
    return static_cast<std::int64_t>(saturated);
  }
  const std::span codes = c.v.scratch.wide_codes.first(c.elements());
  encode_rows(c, values, codes);
  numerics::decode(codes, p, rule.format);
  return 0;
}

/// What the product reads, packed from the cast rows.
void pack_rows(const SoftmaxChunk& c) {
  if (!c.v.packs_ahead() || c.v.makes_p_in_place()) return;
  c.v.scratch.enter(Phase::pack_p);
  c.v.scratch.p.pack_rows(c.first, c.view(c.p));
}

/// Cast and packing at once of x times the multiplier, unless codes of P are asked for or, by the
/// row sum, its values. @return how many saturate; none: nothing is done
std::optional<std::int64_t> cast_and_pack(const SoftmaxChunk& c, const Block& x) {
  const Launch& launch = c.v.launch;
  const recipe::P& rule = launch.recipe.p;
  const bool has_codes = quant::has_scale(rule.format);
  const bool wanted = (c.v.tap != nullptr && !c.v.tap->p_codes.empty()) ||
                      launch.recipe.softmax.row_sum == recipe::RowSum::quantized;
  if (wanted || rule.format == FormatId::f32 || launch.p_grouped || !c.v.packs_ahead() ||
      launch.pv.input != rule.format || rule.rounding != numerics::Rounding::nearest_even ||
      (!has_codes && launch.multiplier != 1.0f))
    return std::nullopt;
  c.v.scratch.enter(Phase::cast);
  const auto made = c.v.scratch.p.round_rows(c.first, c.view(x), launch.multiplier);
  if (!made.packed || (made.beyond > 0 && rule.overflow != numerics::Overflow::saturate))
    return std::nullopt;
  if (c.v.tap != nullptr)
    c.v.scratch.p.copy_rounded(c.first, {c.p.data, c.p.rows, c.p.columns, c.p.stride, 1});
  return has_codes ? static_cast<std::int64_t>(made.beyond) : 0;
}

/// packed_sum() of a whole stride: terms behind the columns are zero, and sums of what is zero or
/// normal and not negative are never subnormal.
float packed_row(const Block& terms, std::size_t row, float first) {
  const float* t = terms.row(row);
  float s[8];
  std::copy_n(t, 8, s);
  s[0] = first;
  for (std::size_t n = 8; n < terms.stride; n += 8)
    for (std::size_t e = 0; e < 8; ++e) s[e] += t[n + e];
  return ((s[0] + s[2]) + (s[4] + s[6])) + ((s[1] + s[3]) + (s[5] + s[7]));
}

/// A row sum of one number, P in f32.
void add_packed_sums(const SoftmaxChunk& c, const Block& terms) {
  const Launch& launch = c.v.launch;
  const bool fused = launch.recipe.softmax.row_sum_start == recipe::RowSumStart::fused_first;
  for (std::size_t i = 0; i < terms.rows; ++i) {
    float& l = c.v.block.state.partial[c.first + i][0];
    const float alpha = c.v.scratch.alpha[c.first + i], term = *terms.row(i);
    const float first = fused ? numerics::OneRounding{}(launch.fp32, l, alpha, term)
                              : numerics::SeparateRoundings{}(launch.fp32, l, alpha, term);
    l = packed_row(terms, i, first);
  }
}

template <typename T>
void add_row_sums(const SoftmaxChunk& c, BlockOf<T> terms, const Lines<T>& alpha) {
  const Launch& launch = c.v.launch;
  PartialSums<float>* partial = &c.v.block.state.partial[c.first];
  if (launch.recipe.softmax.row_sum_order == recipe::RowSumOrder::wgmma_quad)
    return add_quad_sums(launch, terms, {&alpha[c.first], terms.rows},
                         {partial->data(), terms.rows * partial->size()});
  if constexpr (std::is_same_v<T, float>)
    if (launch.recipe.softmax.row_sum_order == recipe::RowSumOrder::packed_quad)
      return add_packed_sums(c, terms);
  for (std::size_t i = 0; i < terms.rows; ++i)
    add_to_row_sum(launch, std::span(terms.row(i), terms.columns), alpha[c.first + i], partial[i]);
}

/// The row sum's terms of what the product reads, into `to`.
void read_terms(const SoftmaxChunk& c, Block to) {
  if (!c.v.launch.p_scaled_by_rows)
    return c.v.loops.multiply(c.p.elements(), c.v.launch.inverse_multiplier, to.elements());
  std::copy_n(c.p.data, c.elements(), to.data);
  c.v.loops.multiply_rows(to, {&c.v.scratch.p_scale[c.first], to.rows});
}

/// BF16 of every value, in place.
void round_to_bf16(const SoftmaxChunk& c, std::span<float> x) {
  const std::span codes = c.v.scratch.wide_codes.first(x.size());
  numerics::encode(x, codes, FormatId::bf16, quant::cast_policy(FormatId::bf16));
  numerics::decode(codes, x, FormatId::bf16);
}

/// P in f32.
std::int64_t softmax_rounded(const SoftmaxChunk& c) {
  const recipe::Recipe& recipe = c.v.launch.recipe;
  const bool cast_needed = recipe.p.format != FormatId::f32;
  const bool scaled = c.v.launch.multiplier != 1.0f;
  // What needs neither factor nor cast is computed in place.
  const Block x = cast_needed || scaled ? c.x() : c.p;
  c.v.scratch.enter(Phase::exponentials);
  exponents(c, x);
  const std::span<float> p(x.data, c.elements());
  powers(c.v.launch, p, p);
  std::optional<std::int64_t> saturated = cast_and_pack(c, x);
  if (!saturated) {
    c.v.scratch.enter(Phase::cast);
    if (scaled) c.v.loops.multiply(p, c.v.launch.multiplier, c.p.elements());
    saturated = cast_needed ? cast_terms(c, scaled ? c.p.elements() : p) : 0;
    pack_rows(c);
  }
  c.v.scratch.enter(Phase::row_sums);
  Block terms = x;
  if (recipe.softmax.row_sum != recipe::RowSum::unquantized) {
    terms = c.x();
    if (recipe.softmax.row_sum == recipe::RowSum::quantized) {
      read_terms(c, terms);
    } else {
      if (terms.data != x.data) std::copy_n(x.data, c.elements(), terms.data);
      round_to_bf16(c, terms.elements());
    }
  }
  add_row_sums(c, terms, c.v.scratch.alpha);
  return *saturated;
}

/// P in f64.
std::int64_t softmax_exact(const SoftmaxChunk& c) {
  const recipe::Recipe& recipe = c.v.launch.recipe;
  const Block x = c.x();
  c.v.scratch.enter(Phase::exponentials);
  exponents(c, x);
  const BlockOf<double> p{c.v.scratch.exact.data(), x.rows, x.columns, x.stride};
  widen(x.elements(), p.elements());
  numerics::exp2_f64(p.elements(), p.elements());
  c.v.scratch.enter(Phase::cast);
  const double factor = c.v.launch.multiplier;
  std::int64_t saturated = 0;
  if (recipe.p.format == FormatId::f32) {
    narrow_nearest(p.elements(), factor, c.p.elements());
  } else if (c.v.launch.p_grouped) {
    narrow_nearest(p.elements(), factor, x.elements());
    saturated = cast_terms(c, x.elements());
  } else {
    narrow_to_odd(p.elements(), factor, x.elements());
    saturated = cast_terms(c, x.elements());
  }
  pack_rows(c);
  c.v.scratch.enter(Phase::row_sums);
  if (recipe.softmax.row_sum == recipe::RowSum::quantized) {
    read_terms(c, x);
    widen(x.elements(), p.elements());
  } else if (recipe.softmax.row_sum == recipe::RowSum::bf16) {
    narrow_to_odd(p.elements(), 1.0, x.elements());
    round_to_bf16(c, x.elements());
    widen(x.elements(), p.elements());
  }
  add_row_sums(c, p, c.v.scratch.alpha_exact);
  return saturated;
}

}  // namespace

void softmax_rows(const Visit& v) {
  const bool exact = v.launch.recipe.softmax.exp2 == recipe::Exp2::exact;
  if (v.packs_ahead()) v.scratch.p.reserve(v.launch.pv, v.rows, v.columns);
  const Block p = v.makes_p_in_place()
                      ? Block{v.scratch.p.in_place(0), v.rows, v.columns, v.stride()}
                      : v.in(v.scratch.p_values);
  for (std::size_t first = 0; first < v.rows; first += v.chunk()) {
    const std::size_t count = std::min(v.chunk(), v.rows - first);
    const SoftmaxChunk chunk{.v = v,
                             .first = first,
                             .s = v.scores().rows_from(first, count),
                             .p = p.rows_from(first, count),
                             .codes = v.in(v.scratch.codes).rows_from(first, count).elements()};
    v.block.saturated += exact ? softmax_exact(chunk) : softmax_rounded(chunk);
  }
}

void skip_rows(const Visit& v) {
  const bool exact = v.launch.recipe.softmax.exp2 == recipe::Exp2::exact;
  for (std::size_t i = 0; i < v.rows; ++i)
    for (float& l : v.block.state.partial[i])
      l = v.launch.fp32.multiply(l, exact ? v.scratch.alpha_exact[i] : v.scratch.alpha[i]);
  if (v.tap == nullptr) return;
  std::fill_n(v.scratch.p_values.data(), v.rows * v.stride(), 0.0f);
  std::fill_n(v.scratch.codes.data(), v.rows * v.stride(), std::uint8_t{0});
}

}  // namespace karat::attention
