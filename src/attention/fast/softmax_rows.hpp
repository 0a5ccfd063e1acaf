// Vector loops over the elements of some rows of a block; each equals its scalar formula bit for
// bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "karat/numerics/functions/exp2.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::attention {

/// Floats that follow every array given to these loops and may be read, never used.
inline constexpr std::size_t kPadding = 16;
/// n rounded up to whole vectors: the stride of blocks without tails.
constexpr std::size_t padded(std::size_t n) { return (n + 15) / 16 * 16; }

/// rows x columns numbers, row-major, rows `stride` apart. Loops over "whole strides" also run over
/// the columns from `columns` to `stride`, which is then a multiple of 16.
template <typename T>
struct BlockOf {
  T* data;
  std::size_t rows;
  std::size_t columns;
  std::size_t stride;
  T* row(std::size_t i) const { return data + i * stride; }
  BlockOf rows_from(std::size_t first, std::size_t count) const {
    return {row(first), count, columns, stride};
  }
  std::span<T> elements() const { return {data, rows * stride}; }
};
using Block = BlockOf<float>;

/// s = a scaled: `row_scale` per row, `column_scale` per column, then c, in the order named.
/// product_first, folded_into_q and (c = 1) scaled_then_fused: fl(a*fl(fl(r*k)*c)); sequential:
/// fl(fl(fl(a*r)*k)*c). Whole strides, in place allowed.
void scale_scores(Block a, std::span<const float> row_scale, std::span<const float> column_scale,
                  float c, recipe::ScaleOrder order, numerics::Subnormals subnormals, Block s);
/// The same with one column scale k for all columns.
void scale_scores(Block a, std::span<const float> row_scale, float k, float c,
                  recipe::ScaleOrder order, numerics::Subnormals subnormals, Block s);
/// s = fl(a*factor). Whole strides, in place allowed.
void scale_scores(Block a, float factor, numerics::Subnormals subnormals, Block s);

/// Largest element of each row, NaN left out, -Inf where there is none. Whole strides.
void row_maxima(Block s, std::span<float> maxima);

/// One block's step of the maxima of some rows, `n` padded to a multiple of 16 (the formulas
/// are those of operations/score.hpp).
struct MaximumStep {
  const float* block_maximum;
  const float* fused_f;   ///< f of each row, null unless the exponent is fused
  float threshold;        ///< rescale_threshold
  float offset;           ///< of P's exponent
  float* m;               ///< in: the old maxima, out: the new ones
  float* alpha_exponent;  ///< out: what the past is multiplied by is 2 to this power
  float* reference;       ///< out: what P's exponent subtracts; 0 where m is -Inf
};
void advance_maxima(const MaximumStep& step, numerics::Subnormals subnormals, std::size_t n);

/// x = fl(s - reference[row]), not flushed: 2^x of a subnormal is 1, as of 0. Whole strides.
void subtract_rows(Block s, std::span<const float> reference, Block x);
/// x = fma(s, factor[row], -reference[row]), one rounding, likewise; -Inf stays -Inf.
void fused_rows(Block s, std::span<const float> factor, std::span<const float> reference, Block x);

/// y = fl(x*factor), in place allowed.
void multiply(std::span<const float> x, float factor, numerics::Subnormals subnormals,
              std::span<float> y);
/// Row i of o times factor[i], in place.
void multiply_rows(Block o, std::span<const float> factor, numerics::Subnormals subnormals);
/// Column j of t times factor[j], in place; 16 floats behind factor must be readable.
void multiply_columns(Block t, std::span<const float> factor, numerics::Subnormals subnormals);
/// o = fl(o + t).
void add(std::span<float> o, std::span<const float> t, numerics::Subnormals subnormals);
/// Row i of o = fl(fl(o*factor[i]) + t).
void multiply_rows_and_add(Block o, std::span<const float> factor, Block t,
                           numerics::Subnormals subnormals);
/// How many elements are larger than `largest` in magnitude.
std::int64_t count_above(std::span<const float> x, float largest);

}  // namespace karat::attention
