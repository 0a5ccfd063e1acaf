// Private: vector loops of the backward that the forward does not have; each equals its scalar
// formula bit for bit.
#pragma once

#include <span>

#include "fast/softmax_rows.hpp"

namespace karat::attention {

struct BackwardLoops {
  using Given = std::span<const float>;

  /// ds = fl(p*fl(dp - delta[row])), then fl(ds*root) unless root is null. Whole strides.
  void (*score_gradients)(Block p, Block dp, Given delta, const float* root, Block ds);
  /// x = fma(a, fl(fl(row_scale*column_scale)*c), -l[row]), not flushed: 2^x of a subnormal is 1,
  /// as of 0. Whole strides.
  void (*fused_columns)(Block a, Given row_scale, Given column_scale, float c, Given l, Block x);

  // Coding flushes in every recipe. Groups are 16 columns of a row, numbered row by row; whole
  // strides, whose columns behind the last one are zero.
  using Groups = std::span<float>;

  /// Largest magnitude of each group, NaN left out.
  void (*group_maxima)(Block x, Groups maxima);
  /// y = fl(x/operand[group]), or fl(x*operand[group]); in place allowed.
  void (*divide_groups)(Block x, Given operand, Block y);
  void (*multiply_groups)(Block x, Given operand, Block y);
};
const BackwardLoops& backward_loops(numerics::Subnormals subnormals);

}  // namespace karat::attention
