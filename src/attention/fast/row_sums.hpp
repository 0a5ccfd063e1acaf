// The row sum in wgmma order (RowSumOrder::wgmma_quad), several rows at a time: per row the four
// partial sums of add_to_row_sum() in operations/row_sum.hpp, the same additions in the same order.
#pragma once

#include <span>

#include "karat/attention/operations/kernel.hpp"
#include "softmax_rows.hpp"

namespace karat::attention {

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
