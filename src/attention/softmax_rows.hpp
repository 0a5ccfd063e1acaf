// Vector loops over the elements of one block of scores; each equals its scalar formula bit for
// bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "karat/numerics/exp2.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::attention {

/// A block of rows x columns numbers, row-major, rows `stride` apart.
struct Block {
  float* data;
  std::size_t rows;
  std::size_t columns;
  std::size_t stride;
  float* row(std::size_t i) const { return data + i * stride; }
};

/// s = a scaled: `row_scale` per row, `column_scale` per column, then c, in the order named.
/// product_first, folded_into_q and (c = 1) scaled_then_fused: fl(a*fl(fl(r*k)*c)); sequential: fl(fl(fl(a*r)*k)*c).
/// 64 floats behind column_scale must be readable.
void scale_scores(Block a, std::span<const float> row_scale, std::span<const float> column_scale,
                  float c, recipe::ScaleOrder order, numerics::Subnormals subnormals, Block s);
/// s = fl(a*factor).
void scale_scores(Block a, float factor, numerics::Subnormals subnormals, Block s);

/// Largest element of each row.
void row_maxima(Block s, std::span<float> maxima);

/// x = fl(s - reference[row]).
void subtract_rows(Block s, std::span<const float> reference, numerics::Subnormals subnormals,
                   Block x);
/// x = fma(s, factor[row], -reference[row]), one rounding.
void fused_rows(Block s, std::span<const float> factor, std::span<const float> reference,
                numerics::Subnormals subnormals, Block x);

/// y = fl(x*factor), in place allowed.
void multiply(std::span<const float> x, float factor, numerics::Subnormals subnormals,
              std::span<float> y);
/// Row i of o times factor[i], in place.
void multiply_rows(Block o, std::span<const float> factor, numerics::Subnormals subnormals);
/// Column j of t times factor[j], in place; 64 floats behind factor must be readable.
void multiply_columns(Block t, std::span<const float> factor, numerics::Subnormals subnormals);
/// o = fl(o + t).
void add(std::span<float> o, std::span<const float> t, numerics::Subnormals subnormals);
/// How many codes stand at +-largest and came from something larger in magnitude.
std::int64_t count_above(std::span<const float> x, float largest);

}  // namespace karat::attention
