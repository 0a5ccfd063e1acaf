// SLA's linear branch and VSA's coarse branch, each product a chain of fused multiply-adds.
#include "karat/attention/branch.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "predict/pooled.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

using numerics::MatrixView;

/// The operations of a branch under one recipe.
class BranchOperations {
 public:
  BranchOperations(const recipe::Recipe& recipe, numerics::Path path)
      : fp_{recipe.subnormals}, format_(recipe.branch.format), path_(path) {}

  const numerics::Fp32& fp() const { return fp_; }

  void to_type(std::span<float> values) const {
    if (format_ != numerics::FormatId::f32)
      cast(values, format_, quant::cast_policy(format_, numerics::Rounding::nearest_even), path_);
  }
  float to_type(float value) const {
    to_type(std::span(&value, 1));
    return value;
  }

  /// type of row i of a times row j of b.
  std::vector<float> products(MatrixView<const float> a, MatrixView<const float> b) const {
    const auto& fma = numerics::instruction("f32.fma");
    numerics::RowOperand rows;
    numerics::ColumnOperand columns;
    rows.pack(fma, a);
    columns.pack(fma, b);
    std::vector<float> made(a.rows * b.rows);
    numerics::chain(fma, rows, columns, numerics::Start::absent,
                    numerics::row_major(made.data(), a.rows, b.rows), path_);
    to_type(made);
    return made;
  }

  /// Each row becomes its softmax.
  void softmax(std::span<float> rows, std::size_t width) const {
    const auto log2e = std::numbers::log2e_v<float>;
    for (std::size_t first = 0; first < rows.size(); first += width) {
      const std::span row = rows.subspan(first, width);
      const float largest = *std::ranges::max_element(row);
      float sum = 0;
      for (float& x : row) {
        x = numerics::exp2_rounded(fp_.multiply(fp_.add(x, -largest), log2e), fp_.subnormals);
        sum = fp_.add(sum, x);
      }
      for (float& x : row) x = fp_.divide(x, sum);
    }
    to_type(rows);
  }

 private:
  numerics::Fp32 fp_;
  numerics::FormatId format_;
  numerics::Path path_;
};

MatrixView<const float> matrix(const std::vector<float>& values, std::size_t columns) {
  return numerics::row_major<const float>(values.data(), values.size() / columns, columns);
}

std::vector<float> linear(const recipe::Recipe& recipe, const HeadInput& input, std::size_t d,
                          const BranchOperations& with) {
  const numerics::Fp32& fp = with.fp();
  const auto features = [&](std::span<const float> values) {
    std::vector<float> rows(values.begin(), values.end());
    with.softmax(rows, d);
    return rows;
  };
  const std::vector<float> q = features(input.q), k = features(input.k);
  const std::vector<float> v(input.v.begin(), input.v.end());
  // Column j of V times column i of phi(k), over the tokens: row j holds KV_ij for every i.
  const std::vector<float> kv = with.products(matrix(v, d).transposed(), matrix(k, d).transposed());
  std::vector<float> z(d, 0.0f);
  for (std::size_t e = 0; e < k.size(); ++e) z[e % d] = fp.add(z[e % d], k[e]);
  with.to_type(z);
  std::vector<float> rows = with.products(matrix(q, d), matrix(kv, d));
  std::vector<float> below = with.products(matrix(q, d), matrix(z, d));
  for (float& x : below) x = fp.add(recipe.branch.epsilon, x);
  with.to_type(below);
  for (std::size_t e = 0; e < rows.size(); ++e) rows[e] = fp.divide(rows[e], below[e / d]);
  with.to_type(rows);
  return rows;
}

std::vector<float> coarse(const recipe::Recipe& recipe, const layout::Layout& layout,
                          const HeadInput& input, const BranchOperations& with) {
  const std::size_t d = layout.channels;
  const layout::MeanRanges& ranges = layout.means;
  const auto means = [&](std::span<const float> values, const std::vector<video::Range>& of) {
    const std::vector<float> rows = ordered_rows(values, d, layout.order.token_at, d);
    const std::vector<double> wide = range_means(rows, d, of, recipe.predict.means);
    std::vector<float> made(wide.begin(), wide.end());
    with.to_type(made);
    return made;
  };
  const std::vector<float> q = means(input.q, ranges.queries), k = means(input.k, ranges.keys);
  const std::vector<float> v = means(input.v, ranges.keys);
  std::vector<float> p = with.products(matrix(q, d), matrix(k, d));
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(d)));
  for (float& s : p) s = with.fp().multiply(s, scale);
  with.to_type(p);
  with.softmax(p, ranges.keys.size());
  const std::vector<float> of_range =
      with.products(matrix(p, ranges.keys.size()), matrix(v, d).transposed());
  std::vector<float> rows(static_cast<std::size_t>(layout.order.tokens()) * d);
  for (std::size_t r = 0; r < ranges.queries.size(); ++r)
    for (std::int64_t i = ranges.queries[r].begin; i < ranges.queries[r].end; ++i)
      std::copy_n(&of_range[r * d], d, &rows[layout.order.token_at[i] * d]);
  return rows;
}

}  // namespace

std::vector<float> branch_of(const recipe::Recipe& recipe, const layout::Layout& layout,
                             const HeadInput& input, numerics::Path path) {
  const BranchOperations with(recipe, path);
  switch (recipe.branch.kind) {
    case recipe::BranchKind::linear:
      return linear(recipe, input, layout.channels, with);
    case recipe::BranchKind::coarse:
      return coarse(recipe, layout, input, with);
    case recipe::BranchKind::none:
      break;
  }
  return {};
}

}  // namespace karat::attention
