// The coefficients of a special-function unit from its results over one octave.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "karat/evidence/interpolator.hpp"

namespace karat::evidence {

/// What a unit looks like from outside, before its widths are known.
struct FitShape {
  int segment_bits = 6;  ///< 6 for exp2, 7 for the reciprocal
  int threads = 0;
};

struct FitResult {
  std::optional<QuadraticTable> table;  ///< reproduces every value; absent when none does
  int square_dropped = 0;               ///< of the table, or of the squarer most segments accept
  std::vector<int> refused;             ///< segments that no quadratic of that squarer reproduces
};

/// A table that reproduces every value, with few bits: the squarer truncated as far as the values
/// allow, then the fewest fraction bits for c2, c1 and c0. Exact: every segment is a system of
/// linear inequalities v * 2^g <= c0 + c1 x + c2 square(x) < (v + 1) * 2^g over all its x, solved
/// by cutting planes, rounded to whole coefficients and verified on every value.
/// @param values 2^23 results in units of 2^-23, ascending argument
/// @throws Error(usage) for another number of values
FitResult fit_octave(std::span<const std::uint32_t> values, const FitShape& shape);

}  // namespace karat::evidence
