// A launch and what is free in it: what the bounds and the teacher-forced check both start from.
#pragma once

#include <algorithm>
#include <span>

#include "karat/attention/operations/kernel.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/attention/taps.hpp"
#include "karat/bounds/bounds.hpp"

namespace karat::bounds {

using attention::Kernel;
using attention::Launch;
using numerics::Interval;

/// x*factor + c, fused or not where that is free.
struct MultiplyAdd {
  Contraction contraction;
  Interval operator()(const numerics::Fp32& fp, Interval x, Interval factor, Interval c) const {
    const Interval separate = numerics::SeparateRoundings{}(fp, x, factor, c);
    if (contraction == Contraction::none) return separate;
    return numerics::hull(separate, fp.fused(x, factor, c));
  }
};

/// P of one row and block: before the cast (the row sum's terms) and after.
struct RowP {
  /// A row that is left out.
  void become_zero(std::size_t columns) {
    for (std::vector<float>* ends : {&low, &high, &cast_low, &cast_high})
      ends->assign(columns, 0.0f);
    scale = 1.0f;
    ends_are_all = true;
  }
  /// The row as it is, or left out: nothing of it is below zero, so the lower ends become zero.
  void may_be_zero() {
    std::ranges::fill(low, 0.0f);
    std::ranges::fill(cast_low, 0.0f);
    ends_are_all = false;
  }
  std::vector<float> low, high;            ///< terms of the row sum
  std::vector<float> cast_low, cast_high;  ///< as the PV instruction reads them
  Interval scale = 1.0f;                   ///< of the row, where Kernel::p_scaled_by_rows
  bool ends_are_all = true;  ///< in formats of at most 16 bits: no legal code lies between
};

/// References recipe, layout and head; what references it must not outlive it.
struct FreeLaunch {
  FreeLaunch(const recipe::Recipe& recipe, const layout::Layout& layout,
             const attention::QuantisedHead& head, Freedom allowed);

  Launch launch;
  Freedom freedom;
  float f;  ///< Launch::pair_factor(), where exponents are fused the same for every pair
  numerics::Policy p_policy;  ///< of the cast of P

  /// Legal values of 2^x.
  Interval power(float x) const;
  /// Legal values of alpha when a maximum goes from `before` to `after`.
  Interval alpha(float before, float after) const;
  /// The same row by row.
  void alphas(std::span<const float> before, std::span<const float> after,
              std::span<Interval> alpha) const;
  /// Legal values of P for scores under maximum m.
  void p(const attention::RowScores& row, float m, RowP& p) const;
  /// The same from P's exponents.
  void p(std::span<const float> x, RowP& p, numerics::Path path = numerics::Path::fast) const;
  /// A row's maximum before a visit, given those behind each (as in BlockTap::m).
  float maximum_before(std::span<const float> m, std::size_t rows, std::size_t visit,
                       std::size_t row) const {
    return visit == 0 ? launch.initial_max : m[(visit - 1) * rows + row];
  }
};

}  // namespace karat::bounds
