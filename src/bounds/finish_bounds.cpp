// The engine's finish on intervals: each end goes through the kernel's own roundings.
#include "finish_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "karat/attention/operations/finish.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::bounds {

FinishBounds::FinishBounds(const FreeLaunch& free, const BranchRange* branch)
    : free_(free),
      branch_(branch),
      factors_(attention::output_factors(free.launch, free.launch.multiplier)) {}

/// A kernel's r is an f32 number between the real ends, so it lies between their roundings too.
/// The recipe's own is monotone, rcp.approx too (tests/numerics/mufu_test.cpp).
Interval FinishBounds::reciprocal(Interval l) const {
  const auto end = [&](float x, double relative) {
    if (free_.freedom.reciprocal_ulp == 0) return attention::whole_reciprocal(free_.launch, x);
    return free_.launch.fp32.round(1.0 / x * (1 + relative));
  };
  const double ulps = 0x1p-23 * free_.freedom.reciprocal_ulp;
  const float low = attention::divisor(free_.launch, l.low);
  return {end(attention::divisor(free_.launch, l.high), -ulps),
          low > 0 ? end(low, ulps) : kInfinity};
}

/// lg2.approx is within 2^-22 (absolute where its result is small); three f32 roundings follow.
Interval FinishBounds::lse(Interval l, float golden) const {
  const bool in_log2 = free_.launch.recipe.softmax.lse == recipe::Lse::log2;
  const double unit = in_log2 ? 1.0 : std::numbers::ln2;
  const double low = l.low > 0 ? numerics::log2_f64(l.low) : -kInfinity;
  const double high = numerics::log2_f64(l.high);
  const double slack = !leaves_freedom(free_.freedom)
                           ? 0.0
                           : 0x1p-22 * std::max(1.0, std::abs(high)) +
                                 0x1p-22 * (std::abs(golden) / unit + std::abs(high));
  const double spread = high - low + slack;
  return {static_cast<float>(golden - spread * unit), static_cast<float>(golden + spread * unit)};
}

std::vector<Interval> FinishBounds::branch_terms(std::int32_t token) const {
  const attention::Launch& launch = free_.launch;
  const auto terms = [&](std::span<const float> branch) {
    return attention::branch_terms(launch, branch, token);
  };
  const std::vector<float> a = terms(branch_ ? branch_->low : launch.head.branch),
                           b = terms(branch_ ? branch_->high : launch.head.branch);
  std::vector<Interval> both;  // a weight below zero turns the ends round
  for (std::size_t j = 0; j < a.size(); ++j)
    both.emplace_back(std::min(a[j], b[j]), std::max(a[j], b[j]));
  return both;
}

void FinishBounds::row(Interval l, std::span<Interval> o, const GoldenRow& golden,
                       BlockBounds& bounds) const {
  bounds.row_l_low.push_back(l.low);
  bounds.row_l_high.push_back(l.high);
  const bool has_keys = l.high > 0 && !std::isnan(golden.lse);
  const Interval legal = has_keys ? lse(l, golden.lse) : Interval(golden.lse);
  bounds.lse_low.push_back(legal.low);
  bounds.lse_high.push_back(legal.high);
  if (has_keys) {
    const Interval r = reciprocal(l);
    attention::finish_row(
        free_.launch, o, [r](std::size_t) { return r; },
        {factors_, free_.launch.head.smoothed.v_mean, 1.0f}, numerics::Path::fast, {},
        MultiplyAdd{free_.freedom.contraction});
  } else if (branch_ != nullptr) {
    std::ranges::fill(o, Interval(attention::output_without_keys(free_.launch.recipe)));
  } else {
    std::copy(golden.o.begin(), golden.o.end(), o.begin());
  }
  if (has_keys || branch_ != nullptr) {
    const std::vector<Interval> branch = branch_terms(golden.token);
    attention::add_branch(free_.launch, o, std::span<const Interval>(branch), numerics::Path::fast);
  }
  for (const Interval& value : o) {
    bounds.out_low.push_back(value.low);
    bounds.out_high.push_back(value.high);
  }
}

}  // namespace karat::bounds
