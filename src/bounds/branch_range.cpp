// The branch's operations on intervals: sums as middles and half widths in f64, and what roundings
// in any order may add.
#include "karat/bounds/branch_range.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "any_order.hpp"
#include "karat/attention/operations/branch.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::bounds {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

void to_type(std::span<Interval> values, numerics::FormatId format) {
  if (format != numerics::FormatId::f32)
    attention::cast(values, format, quant::cast_policy(format, numerics::Rounding::nearest_even));
}

/// |E/g - 1| for a legal E = e^x and the golden g: (2 + 1.173 |x|) ulp, which is what CUDA says of
/// __expf (expf is closer), and g's own (0.5 + 0.75 |x|).
double exp_share(double x) { return (3 + 2 * std::abs(x)) * 0x1p-23; }

/// Middle and half width of an interval's real numbers.
struct Spread {
  explicit Spread(const std::vector<Interval>& values) {
    for (const Interval x : values) {
      middle.push_back((double{x.low} + x.high) / 2);
      half.push_back((double{x.high} - x.low) / 2);
    }
  }
  std::vector<double> middle, half;
};

class RangeOperations {
 public:
  using Values = std::vector<Interval>;

  RangeOperations(const recipe::Recipe& recipe, int threads)
      : fp_{recipe.subnormals},
        format_(recipe.branch.format),
        means_(recipe.predict.means == recipe::Means::bf16 ? numerics::FormatId::bf16 : format_),
        threads_(threads) {}

  Values products(const Values& a, const Values& b, std::size_t terms) const {
    const std::size_t m = a.size() / terms, n = b.size() / terms;
    const Spread left(a), right(b);
    Values made(m * n);
    numerics::parallel_for(m, threads_, [&](std::size_t i, int) {
      const double *am = &left.middle[i * terms], *ah = &left.half[i * terms];
      for (std::size_t j = 0; j < n; ++j) {
        const double *bm = &right.middle[j * terms], *bh = &right.half[j * terms];
        double sum = 0, half = 0, size = 0;
        for (std::size_t t = 0; t < terms; ++t) {
          const double x = std::abs(am[t]), y = std::abs(bm[t]) + bh[t];
          sum += am[t] * bm[t];
          half += x * bh[t] + ah[t] * y;
          size += (x + ah[t]) * y;
        }
        made[i * n + j] = summed(sum - half, sum + half, size, terms);
      }
    });
    cast(made);
    return made;
  }

  void softmax(Values& rows, std::size_t width) const {
    numerics::parallel_for(rows.size() / width, threads_, [&](std::size_t row, int) {
      softmax_row(std::span(&rows[row * width], width));
    });
    cast(rows);
  }

  Values sums(const Values& rows, std::size_t width) const {
    Values made;
    for (std::size_t first = 0; first < rows.size(); first += width)
      made.push_back(sum_of(std::span(&rows[first], width)));
    cast(made);
    return made;
  }

  Interval add(Interval a, Interval b) const { return fp_.add(a, b); }
  Interval multiply(Interval a, Interval b) const { return fp_.multiply(a, b); }
  Interval divide(Interval x, Interval by) const {
    if (!(by.low > 0)) return {-kInf, kInf};
    return {fp_.divide(x.low, x.low < 0 ? by.low : by.high),
            fp_.divide(x.high, x.high < 0 ? by.high : by.low)};
  }
  void cast(Values& values) const { to_type(values, format_); }

  Values means(const std::vector<float>& rows, std::size_t width,
               std::span<const video::Range> ranges) const {
    Values made;
    for (const video::Range range : ranges)
      for (std::size_t j = 0; j < width; ++j) {
        Values terms;
        for (std::int64_t i = range.begin; i < range.end; ++i)
          terms.emplace_back(rows[i * width + j]);
        made.push_back(divide(sum_of(terms), Interval(static_cast<float>(range.size()))));
      }
    to_type(made, means_);
    cast(made);
    return made;
  }

 private:
  /// A sum of so many terms whose exact value lies between low and high. Twelve roundings more than
  /// any order of f32 additions has cover a tensor core's step, and one of them the sums in f64.
  Interval summed(double low, double high, double size, std::size_t terms) const {
    const auto count = static_cast<double>(terms);
    const double lost = size * rounding_share(Summation::any_order, count + 12) + count * 0x1p-125;
    if (!std::isfinite(high - low) || !std::isfinite(lost)) return {-kInf, kInf};
    return fp_.round(
        Interval{numerics::rounded_down(low - lost), numerics::rounded_up(high + lost)});
  }
  Interval sum_of(std::span<const Interval> terms) const {
    double low = 0, high = 0, size = 0;
    for (const Interval x : terms) {
      low += x.low;
      high += x.high;
      size += std::max(std::abs(double{x.low}), std::abs(double{x.high}));
    }
    return summed(low, high, size, terms.size());
  }

  /// One end of e^x, x <= 0.
  float exp_end(float x, double sign) const {
    if (x == 0) return 1.0f;
    const float golden =
        numerics::exp2_rounded(fp_.multiply(x, std::numbers::log2e_v<float>), fp_.subnormals);
    const double end = golden * (1 + sign * exp_share(x));
    if (golden < 0x1p-125f) return sign < 0 ? 0.0f : 0x1p-124f;
    return sign < 0 ? numerics::rounded_down(end) : numerics::rounded_up(end);
  }

  void softmax_row(std::span<Interval> row) const {
    Interval largest(-kInf);
    for (const Interval x : row)
      largest = {std::max(largest.low, x.low), std::max(largest.high, x.high)};
    for (Interval& x : row) {
      const Interval below{fp_.add(x.low, -largest.high),
                           std::min(0.0f, fp_.add(x.high, -largest.low))};
      x = {exp_end(below.low, -1), exp_end(below.high, 1)};
    }
    const Interval sum = sum_of(row);
    for (Interval& x : row) x = divide(x, sum);
  }

  numerics::Fp32 fp_;
  numerics::FormatId format_, means_;  ///< of results, and of means before
  int threads_;
};

}  // namespace

BranchRange branch_range(const recipe::Recipe& recipe, const layout::Layout& layout,
                         const attention::HeadInput& input, int threads) {
  BranchRange range;
  for (const Interval x :
       attention::branch_rows(RangeOperations(recipe, threads), recipe.branch, layout, input)) {
    range.low.push_back(x.low);
    range.high.push_back(x.high);
  }
  return range;
}

}  // namespace karat::bounds
