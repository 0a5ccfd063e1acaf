// SLA's linear branch and VSA's coarse branch, each product a chain of fused multiply-adds.
#include "karat/attention/branch.hpp"

#include <algorithm>
#include <numbers>

#include "karat/attention/operations/branch.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "predict/pooled.hpp"

namespace karat::attention {
namespace {

/// The operations of attention/operations/branch.hpp under one recipe.
class BranchOperations {
 public:
  using Values = std::vector<float>;

  BranchOperations(const recipe::Recipe& recipe, numerics::Path path, int threads)
      : fp_{recipe.subnormals}, recipe_(recipe), path_(path), threads_(threads) {}

  int threads() const { return threads_; }

  Values products(const Values& a, const Values& b, std::size_t terms) const {
    constexpr std::size_t kRows = 16;
    const auto& fma = numerics::instruction("f32.fma");
    const std::size_t m = a.size() / terms, n = b.size() / terms;
    numerics::ColumnOperand columns;
    columns.pack(fma, numerics::row_major(b.data(), n, terms));
    Values made(m * n);
    numerics::parallel_for((m + kRows - 1) / kRows, threads_, [&](std::size_t item, int) {
      const std::size_t first = item * kRows, count = std::min(kRows, m - first);
      numerics::RowOperand rows;
      rows.pack(fma, numerics::row_major(&a[first * terms], count, terms));
      numerics::chain(fma, rows, columns, numerics::Start::absent,
                      numerics::row_major(&made[first * n], count, n), path_);
    });
    cast(made);
    return made;
  }

  void softmax(Values& rows, std::size_t width) const {
    const auto log2e = std::numbers::log2e_v<float>;
    for_pieces(*this, rows.size() / width, [&](std::size_t begin, std::size_t end) {
      for (std::size_t first = begin * width; first < end * width; first += width) {
        const std::span row(&rows[first], width);
        const float largest = *std::ranges::max_element(row);
        float sum = 0;
        for (float& x : row) {
          x = numerics::exp2_rounded(fp_.multiply(fp_.add(x, -largest), log2e), fp_.subnormals);
          sum = fp_.add(sum, x);
        }
        for (float& x : row) x = fp_.divide(x, sum);
      }
    });
    cast(rows);
  }

  Values sums(const Values& rows, std::size_t width) const {
    Values made(rows.size() / width);
    numerics::parallel_for(made.size(), threads_, [&](std::size_t row, int) {
      float sum = 0;
      for (std::size_t i = 0; i < width; ++i) sum = fp_.add(sum, rows[row * width + i]);
      made[row] = sum;
    });
    cast(made);
    return made;
  }

  float add(float a, float b) const { return fp_.add(a, b); }
  float multiply(float a, float b) const { return fp_.multiply(a, b); }
  float divide(float a, float b) const { return fp_.divide(a, b); }
  void cast(Values& values) const {
    const numerics::FormatId format = recipe_.branch.format;
    if (format == numerics::FormatId::f32) return;
    for_pieces(*this, values.size(), [&](std::size_t begin, std::size_t end) {
      attention::cast(std::span<float>(values).subspan(begin, end - begin), format,
                      quant::cast_policy(format, numerics::Rounding::nearest_even), path_);
    });
  }

  Values means(const std::vector<float>& rows, std::size_t width,
               std::span<const video::Range> ranges) const {
    const std::vector<double> wide =
        range_means(rows, width, ranges, recipe_.predict.means, threads_);
    Values made(wide.begin(), wide.end());
    cast(made);
    return made;
  }

 private:
  numerics::Fp32 fp_;
  const recipe::Recipe& recipe_;
  numerics::Path path_;
  int threads_;
};

}  // namespace

std::vector<float> branch_of(const recipe::Recipe& recipe, const layout::Layout& layout,
                             const HeadInput& input, numerics::Path path, int threads) {
  return branch_rows(BranchOperations(recipe, path, threads), recipe.branch, layout, input);
}

}  // namespace karat::attention
