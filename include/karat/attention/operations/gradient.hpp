// How blocks' products add up to gradients, and what is written of them. docs/recipes/backward.md.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "karat/attention/operations/backward.hpp"

namespace karat::attention {

/// Groups of the scales of P or dS within a visit of rows x columns.
quant::Grouping visit_groups(const quant::Rule& rule, std::size_t rows, std::size_t columns);

/// P or dS of a visit as the products read it, by its rule: rows x keys, scales of groups counted
/// within the visit. Coding flushes subnormals in every recipe.
quant::Quantised visit_operand(const quant::Rule& rule, numerics::MatrixView<const float> values,
                               numerics::Path path);
/// The one scale of a visit that stays outside the products; nothing where there is none.
std::optional<float> visit_scale(const quant::Quantised& operand);

/// Per channel fl(s_left*s), s the scale of `right` at a position; where only one side has scales
/// theirs; empty where neither has.
std::vector<float> product_factors(const numerics::Fp32& fp, std::optional<float> left,
                                   const quant::Quantised& right, std::int64_t position);

/// Each row's r = fl(r + value) over its keys, ascending; value = what the product reads of dS, by
/// fl times its scale where there is one.
void add_ds_sums(const BackwardKernel& kernel, numerics::MatrixView<const float> ds,
                 std::optional<float> scale, std::span<float> r);

/// One visit's share of dV, dK or dQ. Promote::never: the chain of left and right goes on from acc.
/// Promote::block: T is a chain from zero, acc = fl(acc + fl(T*factor)).
/// @param left   rows x terms
/// @param right  terms x channels
/// @param factor per channel; empty: nothing is multiplied
/// @param acc    rows x channels
void add_product(const BackwardKernel& kernel, const numerics::Instruction& instruction,
                 recipe::Promote promote, numerics::MatrixView<const float> left,
                 numerics::MatrixView<const float> right, std::span<const float> factor,
                 std::span<float> acc, numerics::Path path);

/// What the accumulators of a gradient's row become before heads are added: times the factor where
/// one chain ran over all blocks, plus smoothing's term, times d^-1/2.
struct GradientTerms {
  std::span<const float> factor;  ///< per channel; empty: none, or promoted already
  float ds_sum = 0;               ///< r
  std::span<const float> mean;    ///< of k; empty: no term
  int roots = 0;                  ///< how often d^-1/2 enters: dV 0, dQ and dK 1 or 0
};
template <typename V>
void complete_row(const BackwardKernel& kernel, std::span<V> row, const GradientTerms& terms) {
  const numerics::Fp32& fp = kernel.fp32;
  for (std::size_t j = 0; j < row.size(); ++j) {
    if (!terms.factor.empty()) row[j] = fp.multiply(row[j], V(terms.factor[j]));
    if (!terms.mean.empty()) row[j] = fp.add(row[j], V(fp.multiply(terms.ds_sum, terms.mean[j])));
    for (int n = 0; n < terms.roots; ++n) row[j] = fp.multiply(row[j], V(kernel.root));
  }
}

/// RN(fl(x*multiplier)) to the format, 0 where `saturated` is 1 (empty: nowhere). A multiplier of 1
/// multiplies nothing.
void write_gradient(const BackwardKernel& kernel, float multiplier,
                    std::span<const std::uint8_t> saturated, std::span<float> x,
                    numerics::Path path);

}  // namespace karat::attention
