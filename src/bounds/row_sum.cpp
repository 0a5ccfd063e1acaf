// The engine's row sum on intervals, and the exact one for any order.
#include "row_sum.hpp"

#include <algorithm>
#include <cmath>

#include "any_order.hpp"
#include "row_lanes.hpp"

namespace karat::bounds {
namespace {

struct Terms {
  std::span<const float> low, high;
  std::size_t size() const { return low.size(); }
  Interval operator[](std::size_t n) const { return {low[n], high[n]}; }
};

/// Are sums zero or normal, or subnormals kept, where terms are? Then no sum is to be flushed. (The
/// f32 beside an exact P may be subnormal.)
bool never_flushed(const Kernel& kernel) {
  return kernel.recipe.softmax.exp2 != recipe::Exp2::exact ||
         kernel.fp32.subnormals == numerics::Subnormals::keep;
}
bool in_quads(const Kernel& kernel) {
  return kernel.recipe.softmax.row_sum_order == recipe::RowSumOrder::wgmma_quad;
}

/// add_to_row_sum() of one end. In wgmma order what follows the first eight columns is four chains
/// of additions.
void add_end(const Kernel& kernel, float alpha, std::span<const float> terms,
             attention::PartialSums<float>& sums) {
  const bool plain = in_quads(kernel) && never_flushed(kernel);
  const std::size_t begun = plain ? std::min<std::size_t>(8, terms.size()) : terms.size();
  attention::add_to_row_sum(kernel, terms.first(begun), alpha, sums);
  std::size_t n = begun;
  for (; n + 8 <= terms.size(); n += 8) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += terms[n + 2 * lane];
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += terms[n + 2 * lane + 1];
  }
  for (; n < terms.size(); ++n) sums[n / 2 % 4] += terms[n];
}

}  // namespace

void RowSum::absorb(Interval alpha, std::span<const float> low, std::span<const float> high) {
  if (free_->freedom.summation == Summation::fixed) {
    if (free_->freedom.contraction == Contraction::none) {
      add_end(free_->launch, alpha.low, low, low_);
      return add_end(free_->launch, alpha.high, high, high_);
    }
    attention::PartialSums<Interval> sums;
    for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] = {low_[lane], high_[lane]};
    attention::add_to_row_sum(free_->launch, Terms{low, high}, alpha, sums,
                              MultiplyAdd{Contraction::allowed});
    for (std::size_t lane = 0; lane < sums.size(); ++lane) {
      low_[lane] = sums[lane].low;
      high_[lane] = sums[lane].high;
    }
    return;
  }
  exact_low_ *= alpha.low;
  exact_high_ *= alpha.high;
  rescalings_ += alpha.low != 1 || alpha.high != 1;
  for (std::size_t n = 0; n < low.size(); ++n) {
    exact_low_ += low[n];
    exact_high_ += high[n];
    terms_ += high[n] != 0;
  }
}

bool RowSum::has_nan() const {
  const auto is_nan = [](float x) { return std::isnan(x); };
  return std::ranges::any_of(low_, is_nan) || std::ranges::any_of(high_, is_nan);
}

void RowSum::absorb(std::span<RowSum> rows, std::span<const Interval> alpha,
                    std::span<const RowP> p, numerics::Path path) {
  if (rows.empty()) return;
  const FreeLaunch& free = *rows[0].free_;
  std::vector<RowSum> sums(rows.begin(), rows.end());
  std::size_t done = 0;
  if (path == numerics::Path::fast && free.freedom.summation == Summation::fixed &&
      free.freedom.contraction == Contraction::none && in_quads(free.launch) &&
      never_flushed(free.launch)) {
    std::vector<lanes::QuadSum> ends;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ends.push_back({p[i].low.data(), alpha[i].low, sums[i].low_.data()});
      ends.push_back({p[i].high.data(), alpha[i].high, sums[i].high_.data()});
    }
    done = lanes::quad_sums(ends, p[0].low.size(),
                            {free.launch.recipe.softmax.row_sum_start,
                             free.launch.fp32.subnormals == numerics::Subnormals::flush}) /
           2;
  }
  // Which of two NaN a sum keeps is the definition's.
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (i < done && !sums[i].has_nan())
      rows[i] = sums[i];
    else
      rows[i].absorb(alpha[i], p[i].low, p[i].high);
}

/// n - 1 additions and the rescalings lie on the way of a term, one rounding more covers the FP64
/// sums; every operation may lose 2^-126 to a flush.
Interval RowSum::in_any_order() const {
  if (terms_ == 0) return {static_cast<float>(exact_low_), static_cast<float>(exact_high_)};
  const auto steps = static_cast<double>(terms_ + rescalings_);
  const double share = rounding_share(free_->freedom.summation, steps);
  const double lost = static_cast<double>(terms_) * (steps + 2) * 0x1p-125;
  const double low = exact_low_ * (1 - share) - lost;
  return {low < 0 ? 0.0f : numerics::rounded_down(low),
          numerics::rounded_up(exact_high_ * (1 + share) + lost)};
}

Interval RowSum::total() const {
  if (free_->freedom.summation != Summation::fixed) return in_any_order();
  return {attention::row_sum(free_->launch, low_), attention::row_sum(free_->launch, high_)};
}

}  // namespace karat::bounds
