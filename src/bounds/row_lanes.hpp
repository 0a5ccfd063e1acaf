// Vector loops over the keys of a row of P: as many as fill whole vectors. What is left, and what
// each loop is equal to, stands with its caller.
#pragma once

#include <cstddef>
#include <span>

#include "karat/recipe/recipe.hpp"

namespace karat::bounds::lanes {

/// How the ends of a legal 2^x, and the operands of the cast, follow from the correctly rounded
/// 2^x.
struct LegalPower {
  float from, to;    ///< Freedom::low and high
  float multiplier;  ///< of the cast's operands
  float least;       ///< operands below become 0
};
/// Places of a row.
struct LegalRow {
  const float* x;
  float* low;  ///< the correctly rounded 2^x before
  float *high, *cast_low, *cast_high;
};
std::size_t legal_powers(const LegalPower& power, const LegalRow& row, std::size_t keys);

/// The sums of one end of a row in wgmma order.
struct QuadSum {
  const float* terms;
  float alpha;
  float* sums;  ///< four
};
/// How their first additions go.
struct QuadStart {
  recipe::RowSumStart start;
  /// Is sum*alpha, and what is fused with it, flushed? Later sums are never subnormal.
  bool flush;
};
/// Eight at a time, whole groups of eight terms.
/// @return how many of `sums` it did
std::size_t quad_sums(std::span<const QuadSum> sums, std::size_t terms, QuadStart start);

/// The largest number from `largest` on among the first of x, NaN aside: kernels compare so.
/// @return how many of x it looked at
std::size_t largest_number(const float* x, std::size_t count, float& largest);

}  // namespace karat::bounds::lanes
