// Operands that a visit makes, products of blocks, and the casts of finished gradients.
#include "karat/attention/operations/gradient.hpp"

#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/pv.hpp"

namespace karat::attention {

quant::Grouping visit_groups(const quant::Rule& rule, std::size_t rows, std::size_t columns) {
  quant::Grouping groups = groups_of_keys(rule, columns);
  if (groups.width == 1) return groups;
  groups.row_parts = static_cast<std::int32_t>(rows);
  for (std::int32_t i = 0; i < groups.row_parts; ++i) groups.row_part.push_back(i);
  return groups;
}

quant::Quantised visit_operand(const quant::Rule& rule, numerics::MatrixView<const float> values,
                               numerics::Path path) {
  return quant::quantise(values, rule, visit_groups(rule, values.rows, values.columns), path);
}

std::optional<float> visit_scale(const quant::Quantised& operand) {
  if (operand.scales.empty()) return std::nullopt;
  return operand.scales.front();
}

std::vector<float> product_factors(const numerics::Fp32& fp, std::optional<float> left,
                                   const quant::Quantised& right, std::int64_t position) {
  if (!left && right.scales.empty()) return {};
  std::vector<float> factors(right.channels);
  for (std::size_t j = 0; j < factors.size(); ++j)
    factors[j] = fp.multiply(left.value_or(1.0f), right.scale(position, j));
  return factors;
}

void add_product(const BackwardKernel& kernel, const numerics::Instruction& instruction,
                 recipe::Promote promote, numerics::MatrixView<const float> left,
                 numerics::MatrixView<const float> right, std::span<const float> factor,
                 std::span<float> acc, numerics::Path path) {
  numerics::RowOperand a;
  numerics::ColumnOperand b;
  a.pack(instruction, left);
  b.pack(instruction, right.transposed());
  const std::size_t channels = right.columns;
  if (promote == recipe::Promote::never)
    return numerics::chain(instruction, a, b, numerics::Start::from_d,
                           numerics::row_major(acc.data(), left.rows, channels), path);
  std::vector<float> t(acc.size());
  numerics::chain(instruction, a, b, numerics::Start::absent,
                  numerics::row_major(t.data(), left.rows, channels), path);
  for (std::size_t e = 0; e < acc.size(); ++e)
    acc[e] = promoted(kernel.fp32, acc[e], t[e], factor.empty() ? nullptr : &factor[e % channels]);
}

void add_ds_sums(const BackwardKernel& kernel, numerics::MatrixView<const float> ds,
                 std::optional<float> scale, std::span<float> r) {
  const numerics::Fp32& fp = kernel.fp32;
  for (std::size_t i = 0; i < ds.rows; ++i)
    for (std::size_t n = 0; n < ds.columns; ++n)
      r[i] = fp.add(r[i], scale ? fp.multiply(ds(i, n), *scale) : ds(i, n));
}

void write_gradient(const BackwardKernel& kernel, float multiplier,
                    std::span<const std::uint8_t> saturated, std::span<float> x,
                    numerics::Path path) {
  for (std::size_t e = 0; e < saturated.size(); ++e)
    if (saturated[e]) x[e] = 0.0f;
  if (multiplier != 1.0f)
    for (float& value : x) value = kernel.fp32.multiply(value, multiplier);
  cast(x, kernel.backward.output, quant::cast_policy(kernel.backward.output), path);
}

}  // namespace karat::attention
