// exp2 with stated error: correctly rounded to f32, and a fixed f64 sequence for oracles.
#pragma once

#include <span>

namespace karat::numerics {

/// 2^x rounded to nearest even in f32, correctly for all 2^32 inputs (proven exhaustively against
/// MPFR in tests/). -Inf -> +0, +Inf -> +Inf, NaN -> NaN; a result below 2^-126 is a signed zero
/// unless `keep` (arithmetic.md: FP32 results are flushed).
enum class Subnormals { flush, keep };
float exp2_rounded(float x, Subnormals subnormals = Subnormals::flush);
/// Arrays, in place allowed; the same bits as the scalar function.
void exp2_rounded(std::span<const float> x, std::span<float> y,
                  Subnormals subnormals = Subnormals::flush);

/// 2^x in f64 by our own fixed sequence of operations (the same bits on every processor, compiler
/// and vector width); relative error below 2^-51. Below -1022 the result is 0.
double exp2_f64(double x);
void exp2_f64(std::span<const double> x, std::span<double> y);
/// Base-2 logarithm, likewise; x > 0 finite and normal.
double log2_f64(double x);

}  // namespace karat::numerics
