// exp2 with stated error: correctly rounded to f32, and a fixed f64 sequence for oracles; log2.
// Nothing here calls the C library, whose variants differ from processor to processor.
#pragma once

#include <span>

namespace karat::numerics {

/// What becomes of results below the smallest normal number.
enum class Subnormals { flush, keep };

/// 2^x rounded to nearest even in f32, correctly for all 2^32 inputs (proven exhaustively against
/// MPFR in tests/). -Inf -> +0, +Inf -> +Inf, NaN -> 0x7FFFFFFF; a result below 2^-126 is +0
/// unless `keep` (the default of every recipe).
float exp2_rounded(float x, Subnormals subnormals = Subnormals::flush);
/// Arrays, in place allowed; the same bits as the scalar function.
void exp2_rounded(std::span<const float> x, std::span<float> y,
                  Subnormals subnormals = Subnormals::flush);

/// 2^x in f64 by our own fixed sequence of operations (the same bits on every processor, compiler
/// and vector width); relative error below 2^-51. 0 below x = -1022, Inf from x = 1024; NaN -> NaN.
double exp2_f64(double x);
void exp2_f64(std::span<const double> x, std::span<double> y);
/// Base-2 logarithm, likewise; x > 0 finite and normal. Relative error below 2^-50.
double log2_f64(double x);

}  // namespace karat::numerics
