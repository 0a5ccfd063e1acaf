// P of one row: 2 to its exponents, the cast to P's format, and what the row sum takes of both.
// P is f32, or f64 in recipes whose exp2 is exact.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "karat/attention/operations/kernel.hpp"

namespace karat::attention {

/// 2^x as softmax.exp2 has it, by the scalar functions: in f32 (float), or as exact as f64
/// (double).
template <std::floating_point P>
P power(const Kernel& kernel, float x);
/// Arrays of equal sizes, in place allowed: the bits of power<float>.
void powers(const Kernel& kernel, std::span<const float> x, std::span<float> p);

/// What the cast reads of P: fl(multiplier*P). The product of an exact P is not rounded to f32 but
/// to odd where a cast to a shorter format is its only rounding; groups of P are coded from f32.
inline float cast_operand(const Kernel& kernel, float p) {
  return kernel.fp32.multiply(p, kernel.multiplier);
}
float cast_operand(const Kernel& kernel, double p);

/// Groups of a row's keys within their block, for Kernel::p_rule: 16 each, or all of them.
quant::Grouping groups_of_keys(const quant::Rule& rule, std::size_t keys);

/// What casting a row of P leaves beside its values.
struct CastRow {
  std::int64_t saturated = 0;  ///< codes at the largest finite value that stand for more
  float scale = 1;             ///< Kernel::p_scaled_by_rows: of the row's codes
};
/// `operands` of one row and key block become what the PV instruction reads: their codes' values in
/// P's format, or fl(code*scale) in BF16 where groups enter so. Column n of stochastic rounding
/// draws word n. `codes` receives the codes of an 8-bit format that enters, unless it is empty.
CastRow cast_p(const Kernel& kernel, std::span<float> operands, numerics::Path path,
               std::span<std::uint8_t> codes = {});

/// P rounded to BF16 once, an exact P as well.
float bf16_term(float p);
float bf16_term(double p);

/// The row sum's term: P itself, P in BF16, or the value that the product reads times
/// fl(1/multiplier), or times the row's scale.
template <std::floating_point P>
P row_sum_term(const Kernel& kernel, P p, float value, float scale) {
  if (kernel.recipe.softmax.row_sum == recipe::RowSum::unquantized) return p;
  if (kernel.recipe.softmax.row_sum == recipe::RowSum::bf16) return bf16_term(p);
  return kernel.fp32.multiply(value, kernel.p_scaled_by_rows ? scale : kernel.inverse_multiplier);
}

}  // namespace karat::attention
