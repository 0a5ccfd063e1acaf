// Vector loops over the elements of some rows of a block; each equals its scalar formula bit for
// bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "karat/attention/operations/kernel.hpp"
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

/// One block's step of the maxima of some rows, their number padded to a multiple of 16 (the
/// formulas are those of operations/score.hpp).
struct MaximumStep {
  const float* block_maximum;
  const float* fused_f;  ///< f of each row, null unless the exponent is fused
  float threshold;       ///< rescale_threshold
  float offset;          ///< of P's exponent
  recipe::OffsetEnters offset_enters;
  float* m;               ///< in: the old maxima, out: the new ones
  float* alpha_exponent;  ///< out: what the past is multiplied by is 2 to this power
  float* reference;       ///< out: what P's exponent subtracts; 0 where m is -Inf
};

/// The loops of this processor, which flush, or keep, subnormals.
struct RowLoops {
  using Row = std::span<float>;
  using Given = std::span<const float>;

  /// s = a scaled: `row_scale` per row, `column_scale` per column, then c, in the order named.
  /// product_first, folded_into_q and (c = 1) scaled_then_fused: fl(a*fl(fl(r*k)*c)); sequential:
  /// fl(fl(fl(a*r)*k)*c). Whole strides, in place allowed.
  void (*scale_columns)(Block a, Given row_scale, Given column_scale, float c,
                        recipe::ScaleOrder order, Block s);
  /// The same with one column scale k for all columns.
  void (*scale_rows)(Block a, Given row_scale, float k, float c, recipe::ScaleOrder order, Block s);
  /// Where exponents start from accumulators: f = fl(fl(row_scale*column_scale)*c) of each element,
  /// and s = fl(a*f - offset) in one rounding. Whole strides.
  void (*scale_accumulators)(Block a, Given row_scale, Given column_scale, float c, float offset,
                             Block f, Block s);
  /// Largest element of each row, NaN left out, -Inf where there is none. Whole strides.
  void (*row_maxima)(Block s, Row maxima);
  void (*advance_maxima)(const MaximumStep& step, std::size_t rows);

  /// x = fl(s - reference[row]), not flushed: 2^x of a subnormal is 1, as of 0. Whole strides.
  void (*subtract_rows)(Block s, Given reference, Block x);
  /// x = fma(s, factor[row], -reference[row]), one rounding, likewise; -Inf stays -Inf.
  void (*fused_rows)(Block s, Given factor, Given reference, Block x);
  /// x = fma(a, f, -reference[row]), likewise, but fl(s - reference[row]) where s is -Inf or
  /// `masked`.
  void (*exponents_of_accumulators)(Block a, Block f, Block s, float masked, Given reference,
                                    Block x);
  /// x = fl(s - reference[row]) where s is -Inf or `masked`, likewise; else x stays. Whole strides.
  void (*keep_masked)(Block s, float masked, Given reference, Block x);

  /// y = fl(x*factor), in place allowed.
  void (*multiply)(Given x, float factor, Row y);
  /// Row i of o times factor[i], in place.
  void (*multiply_rows)(Block o, Given factor);
  /// Column j of t times factor[j], in place; 16 floats behind factor must be readable.
  void (*multiply_columns)(Block t, Given factor);
  /// o = fl(o + t).
  void (*add)(Row o, Given t);
  /// Row i of o = fl(fl(o*factor[i]) + t).
  void (*multiply_rows_and_add)(Block o, Given factor, Block t);
  /// How many elements are larger than `largest` in magnitude.
  std::size_t (*count_above)(Given x, float largest);
};
const RowLoops& row_loops(numerics::Subnormals subnormals);

// Recipes whose P is exact (Exp2::exact): P and alpha in f64, the rest in f32.

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

// The row sum in wgmma order (RowSumOrder::wgmma_quad), several rows at a time: per row the four
// partial sums of add_to_row_sum() in operations/row_sum.hpp, the same additions in the same order.

/// partial[4 i + lane] = fl(partial[4 i + lane] * alpha[i]), then plus row i's terms of columns n
/// with n / 2 % 4 = lane, ascending. Terms are zero or positive, normal numbers unless subnormals
/// are kept. Whole strides: terms behind the columns must be zero. RowSumStart::fused_first: the
/// product and the first term's addition are one fused multiply-add.
void add_quad_sums(const Kernel& kernel, Block terms, std::span<const float> alpha,
                   std::span<float> partial);
/// The same with terms and alpha in f64: fl(f32(partial + term)), subnormal terms allowed.
void add_quad_sums(const Kernel& kernel, BlockOf<double> terms, std::span<const double> alpha,
                   std::span<float> partial);

}  // namespace karat::attention
