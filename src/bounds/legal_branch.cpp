// The branch's operations as torch might take them: sums in lanes, an exp that errs.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "coin.hpp"
#include "karat/attention/operations/branch.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/bounds/branch_range.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::bounds {
namespace {

class LegalOperations {
 public:
  using Values = std::vector<float>;

  LegalOperations(const recipe::Recipe& recipe, const LegalKernel& kernel)
      : fp_{recipe.subnormals},
        format_(recipe.branch.format),
        means_(recipe.predict.means == recipe::Means::bf16 ? numerics::FormatId::bf16 : format_),
        errs_(kernel.exp2),
        coin_(kernel.seed),
        lanes_(std::size_t{4} << kernel.seed % 6) {}

  Values products(const Values& a, const Values& b, std::size_t terms) const {
    Values made;
    for (std::size_t i = 0; i < a.size(); i += terms)
      for (std::size_t j = 0; j < b.size(); j += terms)
        made.push_back(
            in_lanes(terms, [x = &a[i], y = &b[j]](std::size_t t) { return x[t] * y[t]; }));
    cast(made);
    return made;
  }

  void softmax(Values& rows, std::size_t width) const {
    for (std::size_t first = 0; first < rows.size(); first += width) {
      const std::span row(&rows[first], width);
      const float largest = *std::ranges::max_element(row);
      for (float& x : row) x = exp(fp_.add(x, -largest));
      const float sum = in_lanes(width, [&](std::size_t t) { return row[t]; });
      for (float& x : row) x = fp_.divide(x, sum);
    }
    cast(rows);
  }

  Values sums(const Values& rows, std::size_t width) const {
    Values made;
    for (std::size_t first = 0; first < rows.size(); first += width)
      made.push_back(in_lanes(width, [x = &rows[first]](std::size_t t) { return x[t]; }));
    cast(made);
    return made;
  }

  float add(float a, float b) const { return fp_.add(a, b); }
  float multiply(float a, float b) const { return fp_.multiply(a, b); }
  float divide(float a, float b) const { return fp_.divide(a, b); }
  void cast(Values& values) const { to_type(values, format_); }

  Values means(const std::vector<float>& rows, std::size_t width,
               std::span<const video::Range> ranges) const {
    Values made;
    for (const video::Range range : ranges)
      for (std::size_t j = 0; j < width; ++j) {
        const float sum = in_lanes(range.size(), [&](std::size_t t) {
          return rows[(range.begin + static_cast<std::int64_t>(t)) * width + j];
        });
        made.push_back(fp_.divide(sum, static_cast<float>(range.size())));
      }
    to_type(made, means_);
    to_type(made, format_);
    return made;
  }

 private:
  /// Term t goes to lane t mod lanes; the last lane's sum comes first. Then what the roundings of a
  /// long sum in one chain may come to: sqrt(n) u times the sum of |terms|.
  template <typename Term>
  float in_lanes(std::size_t terms, const Term& term) const {
    std::array<float, 128> sums{}, sizes{};
    const auto take = [&](std::size_t lane, float x) {
      sums[lane] += x;
      sizes[lane] += std::abs(x);
    };
    std::size_t t = 0;
    for (; t + lanes_ <= terms; t += lanes_)
      for (std::size_t l = 0; l < lanes_; ++l) take(l, term(t + l));
    for (std::size_t l = 0; t + l < terms; ++l) take(l, term(t + l));
    float sum = 0, size = 0;
    for (std::size_t l = lanes_; l-- > 0;) {
      sum += sums[l];
      size += sizes[l];
    }
    const double drift = std::sqrt(static_cast<double>(terms)) * 0x1p-24 * size;
    return fp_.round(sum + (errs_high() ? drift : -drift));
  }

  bool errs_high() const {
    return errs_ == Errs::high || (errs_ == Errs::at_random && coin_.toss());
  }

  float exp(float x) const {
    const float rounded =
        numerics::exp2_rounded(fp_.multiply(x, std::numbers::log2e_v<float>), fp_.subnormals);
    if (x == 0) return rounded;
    const double share = (1 + std::abs(double{x})) * 0x1p-23;
    return fp_.round(rounded * (1 + (errs_high() ? share : -share)));
  }

  void to_type(Values& values, numerics::FormatId format) const {
    if (format != numerics::FormatId::f32)
      attention::cast(std::span<float>(values), format,
                      quant::cast_policy(format, numerics::Rounding::nearest_even));
  }
  numerics::Fp32 fp_;
  numerics::FormatId format_, means_;  ///< of results, and of means before
  Errs errs_;
  mutable Coin coin_;
  std::size_t lanes_;
};

}  // namespace

std::vector<float> legal_branch(const recipe::Recipe& recipe, const layout::Layout& layout,
                                const attention::HeadInput& input, const LegalKernel& kernel) {
  return attention::branch_rows(LegalOperations(recipe, kernel), recipe.branch, layout, input);
}

}  // namespace karat::bounds
