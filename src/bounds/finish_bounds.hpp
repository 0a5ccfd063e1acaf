// The last step of a row as an interval: the division, the output's cast, lse.
#pragma once

#include <span>
#include <vector>

#include "free_launch.hpp"

namespace karat::bounds {

/// A row of the golden result.
struct GoldenRow {
  std::span<const float> o;
  float lse;
  std::int32_t token;
};

class FinishBounds {
 public:
  /// References its arguments. @param branch  null: the head's own
  FinishBounds(const FreeLaunch& free, const BranchRange* branch);
  /// Appends one row's legal l, lse and outputs. `o`, its legal accumulators, is used up.
  void row(Interval l, std::span<Interval> o, const GoldenRow& golden, BlockBounds& bounds) const;

 private:
  Interval reciprocal(Interval l) const;
  Interval lse(Interval l, float golden) const;
  /// What is added to a token's row; empty: nothing.
  std::vector<Interval> branch_terms(std::int32_t token) const;

  const FreeLaunch& free_;
  const BranchRange* branch_;
  std::vector<float> factors_;
};

}  // namespace karat::bounds
