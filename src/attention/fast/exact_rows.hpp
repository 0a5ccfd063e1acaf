// Vector loops of recipes whose P is exact (Exp2::exact): P and alpha in f64, the rest in f32.
#pragma once

#include <span>

#include "softmax_rows.hpp"

namespace karat::attention {

/// y = x. Sizes are multiples of 16.
void widen(std::span<const float> x, std::span<double> y);
/// y = f32(x*factor), the product in f64; subnormals stay. Sizes are multiples of 16.
void narrow_nearest(std::span<const double> x, double factor, std::span<float> y);
/// The same rounded to odd: cut, the last bit set where the cut was inexact. Rounding y to a
/// shorter format rounds x*factor once, and y compares with numbers of shorter formats as x*factor
/// does.
void narrow_to_odd(std::span<const double> x, double factor, std::span<float> y);
/// Row i of o = fl(o*factor[i]), the product in f64, in place.
void multiply_rows(Block o, std::span<const double> factor, numerics::Subnormals subnormals);

}  // namespace karat::attention
