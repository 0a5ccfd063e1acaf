// Chains by the engine's operation; the range around the golden one from what differs and from the
// worst error of a chain.
#include "gradient_sum.hpp"

#include <algorithm>
#include <cmath>

#include "any_order.hpp"
#include "karat/attention/operations/pv.hpp"

namespace karat::bounds {
namespace {

using attention::GradientProduct;
using numerics::Interval;
using numerics::MatrixView;

/// dV and dK multiply by the transposed visit.
MatrixView<const float> turned(const MadePairs& pairs, const std::vector<float>& values,
                               GradientProduct product) {
  const auto view = numerics::row_major(values.data(), pairs.rows, pairs.columns);
  return product == GradientProduct::dq ? view : view.transposed();
}

}  // namespace

GradientSum::GradientSum(const attention::BackwardView& view, Product product, std::size_t rows,
                         const Freedom& freedom)
    : product_(product),
      freedom_(freedom),
      rows_(rows),
      channels_(view.kernel().channels),
      promoted_(view.promote(product) == recipe::Promote::block),
      any_order_(product == Product::dq && freedom.summation != Summation::fixed &&
                 view.kernel().backward.loop == recipe::BackwardLoop::key_blocks),
      instruction_(view.instruction(product)),
      chain_(instruction_),
      range_(instruction_),
      interval_(rows * channels_, Interval(0.0f)) {
  for (auto& acc : acc_) acc.assign(rows * channels_, 0.0f);
  if (!any_order_) return;
  for (auto* sums : {&low_, &high_, &magnitude_}) sums->assign(rows * channels_, 0.0);
}

void GradientSum::absorb(const attention::BackwardView& view, const MadePairs& pairs,
                         const MadeOperand& left, int block) {
  const std::vector<float> before = acc_[0];
  for (std::size_t k = 0; k < kRuns; ++k)
    attention::add_product(view.kernel(), instruction_, view.promote(product_),
                           turned(pairs, left.of[k].values, product_), view.right(product_, block),
                           view.factors(product_, attention::visit_scale(left.of[k]), block),
                           acc_[k], numerics::Path::fast);
  enclose(view, pairs, left, block, before);
  ++terms_;
}

void GradientSum::enclose(const attention::BackwardView& view, const MadePairs& pairs,
                          const MadeOperand& left, int block, std::span<const float> before) {
  const numerics::Fp32& fp = view.kernel().fp32;
  const MatrixView<const float> golden = turned(pairs, left.of[0].values, product_);
  const MatrixView<const float> low = turned(pairs, left.low, product_);
  const MatrixView<const float> high = turned(pairs, left.high, product_);
  const MatrixView<const float> right = view.right(product_, block);
  const std::vector<float> factor =
      promoted_ ? view.factors(product_, attention::visit_scale(left.of[0]), block)
                : std::vector<float>{};
  std::vector<double> largest(channels_, 0.0);
  for (std::size_t n = 0; n < right.rows; ++n)
    for (std::size_t j = 0; j < channels_; ++j)
      largest[j] = std::max<double>(largest[j], std::abs(right(n, j)));
  std::vector<float> t;
  if (promoted_) {
    t.resize(rows_ * channels_);
    numerics::RowOperand a;
    numerics::ColumnOperand b;
    a.pack(instruction_, golden);
    b.pack(instruction_, right.transposed());
    numerics::chain(instruction_, a, b, numerics::Start::absent,
                    numerics::row_major(t.data(), rows_, channels_));
  }
  std::vector<double> up(channels_), down(channels_);
  for (std::size_t i = 0; i < rows_; ++i) {
    std::ranges::fill(up, 0.0);
    std::ranges::fill(down, 0.0);
    double a_max = 0, a_sum = 0;
    bool free = false, finite = true;
    for (std::size_t n = 0; n < golden.columns; ++n) {
      const double least = low(i, n), most = high(i, n);
      const double size = std::max(std::abs(least), std::abs(most));
      finite &= std::isfinite(least) && std::isfinite(most);
      a_max = std::max(a_max, size);
      a_sum += size;
      if (least == most) continue;
      free = true;
      const double more = most - golden(i, n), less = golden(i, n) - least;
      for (std::size_t j = 0; j < channels_; ++j) {
        const double r = right(n, j);
        up[j] += r > 0 ? more * r : -less * r;
        down[j] += r > 0 ? less * r : -more * r;
      }
    }
    Interval* row = &interval_[i * channels_];
    const bool moved = free || (!promoted_ && !std::all_of(row, row + channels_, is_single));
    for (std::size_t j = 0; j < channels_; ++j) {
      const std::size_t e = i * channels_ + j;
      const float* f = factor.empty() ? nullptr : &factor[j];
      Interval range = promoted_ ? Interval(t[e]) : Interval(acc_[0][e]);
      if (moved) {
        const double start = promoted_ ? 0.0
                                       : std::max(std::abs(static_cast<double>(row[j].low)),
                                                  std::abs(static_cast<double>(row[j].high)));
        double around = 2 * chain_.of_size({.k = golden.columns,
                                            .a_max = a_max,
                                            .b_max = largest[j],
                                            .a_sum = a_sum,
                                            .start = start});
        // Another scale is rounded, and multiplied by, once more; FP64 here loses next to nothing.
        around += (left.scale_varies ? 0x1p-21 : 0x1p-40) * (a_sum * largest[j] + start);
        const double above = promoted_ ? 0.0 : static_cast<double>(row[j].high) - before[e];
        const double below = promoted_ ? 0.0 : before[e] - static_cast<double>(row[j].low);
        range = finite && std::isfinite(range.low) && std::isfinite(start)
                    ? range_.around(range.low - down[j] - around - below,
                                    range.low + up[j] + around + above)
                    : kAnything;
      }
      if (any_order_) {
        const Interval term = f == nullptr ? range : fp.multiply(range, Interval(*f));
        low_[e] += term.low;
        high_[e] += term.high;
        magnitude_[e] += std::max(std::abs(term.low), std::abs(term.high));
      }
      row[j] = !promoted_ ? range
               : is_finite(range) && is_finite(row[j])
                   ? attention::promoted(fp, row[j], range, f)
                   : plus(fp, row[j], f == nullptr ? range : fp.multiply(range, Interval(*f)));
    }
  }
}

/// terms - 1 additions lie on the way of a term, one rounding more covers the FP64 sums; every
/// addition may lose 2^-126 to a flush.
std::vector<Interval> GradientSum::all() const {
  if (!any_order_ || terms_ < 2) return interval_;
  const auto n = static_cast<double>(terms_);
  const double share = rounding_share(freedom_.summation, n);
  std::vector<Interval> ranges(interval_.size());
  for (std::size_t e = 0; e < ranges.size(); ++e) {
    const double room = share * magnitude_[e] + n * 0x1p-125;
    ranges[e] = std::isfinite(low_[e]) && std::isfinite(high_[e])
                    ? Interval{numerics::rounded_down(low_[e] - room),
                               numerics::rounded_up(high_[e] + room)}
                    : kAnything;
  }
  return ranges;
}

}  // namespace karat::bounds
