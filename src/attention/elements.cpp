// The formulas of one element, in f32 operations of one rounding each.
#include "elements.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::attention {
namespace {

using numerics::FormatId;
constexpr float kInf = std::numeric_limits<float>::infinity();

/// 2^x, f32-valued unless the recipe asks for the exact one.
double power(const Launch& launch, float x) {
  if (launch.recipe.softmax.exp2 == recipe::Exp2::exact) return numerics::exp2_f64(x);
  return numerics::exp2_rounded(x, launch.recipe.subnormals);
}

/// f64 -> f32 by round-to-odd: rounding the result again to any short format is exact rounding.
float round_to_odd(double x) {
  float y = static_cast<float>(x);
  if (static_cast<double>(y) == x || std::isnan(y)) return y;
  if (std::abs(static_cast<double>(y)) > std::abs(x)) y = std::nextafter(y, 0.0f);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) | 1u);
}

}  // namespace

float score(const Launch& launch, float a, std::int64_t query, std::int64_t key) {
  const Fp32& fp = launch.fp32;
  if (!launch.scores_scaled) return fp.multiply(a, launch.c);
  const float s_q = launch.q_scale(query);
  const float s_k = launch.k_scale(key);
  switch (launch.recipe.qk.scale_order) {
    case recipe::ScaleOrder::product_first:
    case recipe::ScaleOrder::folded_into_q:
      return fp.multiply(a, fp.multiply(fp.multiply(s_q, s_k), launch.c));
    case recipe::ScaleOrder::sequential:
      return fp.multiply(fp.multiply(fp.multiply(a, s_q), s_k), launch.c);
    case recipe::ScaleOrder::scaled_then_fused:
      return fp.multiply(a, fp.multiply(s_q, s_k));
    case recipe::ScaleOrder::fused:
      break;
  }
  return a;
}

RowExponent row_exponent(const Launch& launch, float m, float block_maximum, float f) {
  const Fp32& fp = launch.fp32;
  const float next = next_maximum(launch, m, block_maximum, f);
  if (next == -kInf) return {next, 1.0, f};
  const float difference = fp.add(m, -next);
  return {next, power(launch, launch.fused ? fp.multiply(difference, f) : difference), f};
}

double probability(const Launch& launch, float s, const RowExponent& row) {
  const Fp32& fp = launch.fp32;
  const float offset =
      launch.recipe.p.apply == recipe::PApply::exponent_offset ? launch.recipe.p.offset : 0.0f;
  const bool none = row.m == -kInf;  // no key so far: its scores give 0, a NaN among them NaN
  if (launch.fused) {
    if (s == -kInf) return 0.0;
    const float reference = none ? 0.0f : fp.add(fp.multiply(row.m, row.fused_f), -offset);
    return power(launch, fp.fused(s, row.fused_f, -reference));
  }
  const float reference = none ? 0.0f : fp.add(row.m, -offset);
  return power(launch, fp.add(s, -reference));
}

CodedP code_p(const Launch& launch, double p, std::size_t column) {
  const recipe::P& rule = launch.recipe.p;
  const bool exact = launch.recipe.softmax.exp2 == recipe::Exp2::exact;
  double scaled = p;
  if (rule.apply == recipe::PApply::multiply && rule.multiplier != 1.0f)
    scaled = exact ? p * rule.multiplier : launch.fp32.multiply(p, rule.multiplier);
  if (rule.format == FormatId::f32) return {static_cast<float>(scaled), 0, false};
  const auto policy = quant::cast_policy(rule.format, rule.rounding, rule.overflow);
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  const std::uint32_t random = stochastic ? numerics::random_bits(0, 0, column) : 0;
  const std::uint32_t code = numerics::encode(round_to_odd(scaled), rule.format, policy, random);
  const float value = numerics::decode(code, rule.format);
  const bool saturated = quant::has_scale(rule.format) && scaled > launch.largest_p;
  return {value, static_cast<std::uint8_t>(code), saturated};
}

void add_to_row_sum(const Launch& launch, std::span<const double> p, std::span<const CodedP> codes,
                    double alpha, float* partial) {
  if (launch.recipe.softmax.row_sum == recipe::RowSum::unquantized)
    return add_terms_to_row_sum(launch, p, alpha, partial);
  const bool multiplied = launch.recipe.p.apply == recipe::PApply::multiply;
  const float inverse = multiplied ? launch.fp32.flushed(1.0f / launch.recipe.p.multiplier) : 1.0f;
  std::vector<double> terms(p.size());
  for (std::size_t n = 0; n < p.size(); ++n)
    terms[n] = launch.fp32.multiply(codes[n].value, inverse);
  add_terms_to_row_sum(launch, terms, alpha, partial);
}

void add_terms_to_row_sum(const Launch& launch, std::span<const double> terms, double alpha,
                          float* partial) {
  const Fp32& fp = launch.fp32;
  switch (launch.recipe.softmax.row_sum_order) {
    case recipe::RowSumOrder::wgmma_quad:
      for (int lane = 0; lane < 4; ++lane) partial[lane] = fp.multiply(partial[lane], alpha);
      for (std::size_t n = 0; n < terms.size(); ++n)
        partial[(n >> 1) & 3] = fp.add(partial[(n >> 1) & 3], terms[n]);
      return;
    case recipe::RowSumOrder::sequential:
      partial[0] = fp.multiply(partial[0], alpha);
      for (const double term : terms) partial[0] = fp.add(partial[0], term);
      return;
    case recipe::RowSumOrder::pairwise:
      break;
  }
  std::vector<float> level(std::bit_ceil(terms.size()), 0.0f);
  for (std::size_t n = 0; n < terms.size(); ++n) level[n] = fp.round(terms[n]);
  for (std::size_t size = level.size(); size > 1; size /= 2)
    for (std::size_t n = 0; n < size / 2; ++n) level[n] = fp.add(level[2 * n], level[2 * n + 1]);
  partial[0] = fp.add(fp.multiply(partial[0], alpha), level[0]);
}

}  // namespace karat::attention
