// P of one row: 2 to its exponents, the cast to P's format, and what the row sum takes of both.
// P is f32, or f64 in recipes whose exp2 is exact.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "karat/attention/operations/kernel.hpp"

namespace karat::attention {

/// 2^x as softmax.exp2 has it, by the scalar functions: in f32 (float), or as exact as f64 (double).
template <std::floating_point P>
P power(const Kernel& kernel, float x);
/// Arrays of equal sizes, in place allowed: the bits of power<float>.
void powers(const Kernel& kernel, std::span<const float> x, std::span<float> p);

/// What the cast reads of P: fl(multiplier*P). The product of an exact P is not rounded to f32 but
/// to odd where the format is shorter, so that the cast is its only rounding.
float cast_operand(const Kernel& kernel, float p);
float cast_operand(const Kernel& kernel, double p);

/// `operands` of one row become what the PV instruction reads: their codes' values in P's format.
/// Column n of stochastic rounding draws word n. `codes` receives the codes of an 8-bit format,
/// unless it is empty.
/// @return how many codes are the largest finite one and stand for something larger.
std::int64_t cast_p(const Kernel& kernel, std::span<float> operands, numerics::Path path,
                    std::span<std::uint8_t> codes = {});

/// The row sum's term: P itself, or the value of its code times fl(1/multiplier).
template <std::floating_point P>
P row_sum_term(const Kernel& kernel, P p, float value) {
  if (kernel.recipe.softmax.row_sum == recipe::RowSum::unquantized) return p;
  return kernel.fp32.multiply(value, kernel.inverse_multiplier);
}

}  // namespace karat::attention
