// From scores and dP, which are fixed, through exp2 to the operands of dV, dK and dQ.
#include "made_pairs.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "coded_group.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/random/philox.hpp"
#include "non_finite.hpp"

namespace karat::bounds {
namespace {

using attention::BackwardKernel;
using attention::BackwardView;
using numerics::Interval;
using Matrix = std::vector<float>;

bool exact(float x) { return x == 0 || x == -kInfinity; }

/// 2^x of a legal kernel, which errs by all that is legal; the same way for the same argument.
float erring(const LegalKernel& kernel, const Freedom& freedom, const BackwardKernel& of, float x,
             float rounded, float own) {
  if (exact(x) || freedom.low == freedom.high) return own;
  const bool high =
      kernel.exp2 == Errs::high ||
      (kernel.exp2 == Errs::at_random &&
       (numerics::random_bits(kernel.seed, 0x65787032, std::bit_cast<std::uint32_t>(x)) & 1) != 0);
  return of.fp32.flushed(rounded * (high ? freedom.high : freedom.low));
}

/// How far a coded x, times its scale, may lie from x: half a step of the format, and what
/// saturates. Inf where the rule leaves no bound.
float coding_error(const quant::Rule& rule, float size, Interval scale) {
  const bool follows =
      rule.code_rule != quant::CodeRule::inverse_scale || rule.scale == quant::ScaleFormat::f32;
  const bool nearest = rule.rounding == numerics::Rounding::nearest_even ||
                       rule.rounding == numerics::Rounding::nearest_away;
  if (!follows || !nearest) return kInfinity;
  const numerics::Format& format = numerics::format(rule.format);
  const double step = format.kind == numerics::Kind::integer
                          ? 1.0
                          : std::ldexp(1.0, format.min_exponent() - format.fraction_bits);
  const double relative = format.kind == numerics::Kind::integer
                              ? 0.0
                              : std::ldexp(1.0, -1 - format.fraction_bits) * size;
  const double beyond =
      std::max(0.0, size - static_cast<double>(scale.low) * quant::largest_finite(rule.format));
  double error = std::max(relative, step / 2 * scale.high) + beyond + 0x1p-20 * size;
  if (rule.enters == quant::Enters::bf16) error += 0x1p-8 * (size + error);
  return numerics::rounded_up(error);
}

/// By group the range of the largest magnitude.
std::vector<Interval> largest_magnitudes(const MadeValues& x, const quant::Grouping& groups,
                                         std::size_t columns) {
  std::vector<Interval> largest(groups.count());
  for (std::size_t e = 0; e < x.low.size(); ++e) {
    Interval& amax = largest[groups.group(e / columns, e % columns)];
    const float least =
        x.low[e] <= 0 && x.high[e] >= 0 ? 0.0f : std::min(std::abs(x.low[e]), std::abs(x.high[e]));
    amax.low = std::max(amax.low, least);
    amax.high = std::max(amax.high, std::max(std::abs(x.low[e]), std::abs(x.high[e])));
  }
  return largest;
}

/// Of a group whose scale is free: the legal codes times the legal scales, and no further from x
/// than coding may err.
Interval coded_value(const quant::Rule& rule, const CodedGroup& group, Interval x, float unit,
                     std::uint32_t random) {
  const Interval coded =
      quant::leaves_scales(rule) ? group.value(x, unit, random) : group.dequantised(x, random);
  const float size = std::max(std::abs(x.low), std::abs(x.high));
  const double error = coding_error(rule, size, group.scale());
  return {std::max(coded.low, numerics::rounded_down((x.low - error) / unit)),
          std::min(coded.high, numerics::rounded_up((x.high + error) / unit))};
}

/// Scales that follow from values of a visit.
void enclose_scaled(const quant::Rule& rule, const MadeValues& x, MadeOperand& made) {
  const quant::Quantised& golden = made.of[0];
  const std::size_t columns = golden.channels;
  const quant::Grouping groups = attention::visit_groups(rule, golden.rows, columns);
  const std::vector<Interval> largest = largest_magnitudes(x, groups, columns);
  std::vector<CodedGroup> coded;
  for (const Interval amax : largest)
    coded.emplace_back(rule, is_finite(amax) ? amax : Interval(0.0f));
  const bool leaves = quant::leaves_scales(rule);
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  made.low = made.high = golden.values;
  if (leaves) made.code_low = made.code_high = golden.values;
  for (std::size_t e = 0; e < x.low.size(); ++e) {
    const std::size_t row = e / columns, column = e % columns;
    const std::int32_t number = groups.group(row, column);
    const Interval of{x.low[e], x.high[e]}, amax = largest[number];
    if (is_single(of) && (amax.is_point() || of.low == 0)) continue;
    const auto set = [e](std::vector<float>& low, std::vector<float>& high, Interval range) {
      low[e] = range.low;
      high[e] = range.high;
    };
    if (!is_finite(of) || !is_finite(amax)) {
      set(made.low, made.high, kAnything);
      if (leaves) set(made.code_low, made.code_high, kAnything);
      continue;
    }
    const std::uint32_t random = stochastic ? numerics::random_bits(0, 0, e) : 0;
    const CodedGroup& group = coded[number];
    const Interval code = group.code(of, random);
    if (leaves) set(made.code_low, made.code_high, code);
    if (amax.is_point())
      set(made.low, made.high, leaves ? code : group.dequantised(of, random));
    else
      set(made.low, made.high,
          coded_value(rule, group, of, leaves ? golden.scale(row, column) : 1.0f, random));
  }
  made.scale_varies =
      leaves && std::ranges::any_of(largest, [](Interval amax) { return !amax.is_point(); });
}

MadeOperand operand_of(const quant::Rule& rule, const MadeValues& x, std::size_t rows,
                       std::size_t columns) {
  const auto coded = [&](const Matrix& values) {
    return attention::visit_operand(rule, numerics::row_major(values.data(), rows, columns),
                                    numerics::Path::fast);
  };
  MadeOperand made;
  for (std::size_t k = 0; k < kRuns; ++k) made.of[k] = coded(x.of[k]);
  if (quant::has_scale(rule.format) && rule.scale_rule != quant::ScaleRule::given) {
    enclose_scaled(rule, x, made);
    return made;
  }
  made.low = coded(x.low).values;
  made.high = coded(x.high).values;
  return made;
}

}  // namespace

Interval legal_power(const PowerEnds& ends, const Freedom& freedom) {
  if (ends.x.is_point() && exact(ends.x.low)) return ends.own;
  if (freedom.low == freedom.high) return ends.own;
  const Interval around{ends.rounded.low * freedom.low, ends.rounded.high * freedom.high};
  return {ends.rounded.low < kTiny ? 0.0f : around.low,
          ends.rounded.high < kTiny ? std::max(around.high, kTiny) : around.high};
}

MadePairs make_pairs(const BackwardView& view, const ForwardRows& forward, const Freedom& freedom,
                     int query_block, int key_block) {
  const BackwardKernel& kernel = view.kernel();
  const BackwardView::Pairs fixed = view.pairs(query_block, key_block);
  const std::int64_t first_query = view.blocks().query_blocks[query_block].begin;
  const std::int64_t first_key = view.blocks().key_blocks[key_block].begin;
  MadePairs made{.rows = fixed.rows,
                 .columns = fixed.columns,
                 .p = {},
                 .ds = {},
                 .p_operand = {},
                 .ds_operand = {}};
  const std::size_t size = fixed.a.size();
  for (MadeValues* values : {&made.p, &made.ds}) {
    for (Matrix& of : values->of) of.assign(size, 0.0f);
    values->low.assign(size, 0.0f);
    values->high.assign(size, 0.0f);
  }
  // Of one row: arguments of exp2 by kernel, then at the ends of L.
  constexpr std::size_t kArguments = kRuns + 2;
  std::vector<float> x(kArguments * fixed.columns), rounded(x.size()), own(x.size());
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < fixed.rows; ++i) {
    const std::int64_t query = first_query + static_cast<std::int64_t>(i);
    if (!view.has_keys(query)) continue;
    const LegalNumber& l = forward.l(query);
    const LegalNumber& delta = forward.delta(query);
    kept.clear();
    for (std::size_t n = 0; n < fixed.columns; ++n) {
      const std::int64_t key = first_key + static_cast<std::int64_t>(n);
      if (!view.keeps(query, key)) continue;
      const auto argument = [&](std::size_t k, float of_l) {
        x[kArguments * kept.size() + k] =
            view.exponent(query, key, fixed.a[i * fixed.columns + n], of_l);
      };
      for (std::size_t k = 0; k < kRuns; ++k) argument(k, l.of[k]);
      argument(kRuns, l.all.high);
      argument(kRuns + 1, l.all.low);
      kept.push_back(n);
    }
    const std::size_t count = kArguments * kept.size();
    numerics::exp2_rounded(std::span(x).first(count), std::span(rounded).first(count),
                           kernel.recipe.subnormals);
    attention::backward_probabilities(kernel, std::span(x).first(count),
                                      std::span(own).first(count));
    for (std::size_t c = 0; c < kept.size(); ++c) {
      const std::size_t e = i * fixed.columns + kept[c];
      const float* at = &x[kArguments * c];
      const float* at_rounded = &rounded[kArguments * c];
      const float* at_own = &own[kArguments * c];
      const float dp = fixed.dp[e];
      for (std::size_t k = 0; k < kRuns; ++k) {
        const float p =
            k == 0 ? at_own[0]
                   : erring(kLegalKernels[k - 1], freedom, kernel, at[k], at_rounded[k], at_own[k]);
        made.p.of[k][e] = p;
        made.ds.of[k][e] = attention::score_gradient(kernel, p, dp, delta.of[k]);
      }
      const auto ends = [](const float* of) { return Interval{of[kRuns], of[kRuns + 1]}; };
      const Interval p =
          legal_power({.x = ends(at), .rounded = ends(at_rounded), .own = ends(at_own)}, freedom);
      const Interval ds = attention::score_gradient<Interval>(kernel, p, Interval(dp), delta.all);
      made.p.low[e] = p.low;
      made.p.high[e] = p.high;
      made.ds.low[e] = ds.low;
      made.ds.high[e] = ds.high;
    }
  }
  made.p_operand = operand_of(kernel.backward.p, made.p, made.rows, made.columns);
  made.ds_operand = operand_of(kernel.backward.ds, made.ds, made.rows, made.columns);
  return made;
}

}  // namespace karat::bounds
