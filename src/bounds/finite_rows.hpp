// Rows of accumulators whose numbers are all finite: loops over channels without branches, as
// vectors. Path::scalar is the same arithmetic one channel after the other.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "chain_error.hpp"
#include "karat/numerics/arithmetic/fp32.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::bounds {

/// Memory of one row, by channel.
struct FiniteRow {
  explicit FiniteRow(std::size_t channels)
      : low(channels),
        high(channels),
        away_low(channels),
        away_high(channels),
        ends(2 * channels) {}
  /// The row rescaled, and how far that may lie from the golden row rescaled, on either side.
  std::vector<float> low, high, away_low, away_high;
  std::vector<float> ends;  ///< low, high, low, high, ...
};

/// o*alpha of a row, alpha finite and not negative.
struct Rescaling {
  numerics::Interval alpha;
  numerics::Subnormals subnormals;
};

/// o = fl(o*alpha).
void rescale_row(Rescaling by, std::span<numerics::Interval> o,
                 numerics::Path path = numerics::Path::fast);

/// o = fl(fl(o*alpha) + t), or fl(fl(o*alpha) + fl(t*f)) where f is not empty (one factor a
/// channel, not negative).
/// @return false, the row as it was, where o*alpha, t or f is not finite
bool promote_row(Rescaling by, std::span<const numerics::Interval> t,
                 std::span<const numerics::Interval> f, FiniteRow& row,
                 std::span<numerics::Interval> o, numerics::Path path = numerics::Path::fast);

/// Fills low, high, away_low and away_high of `row` for accumulators o and a golden row `earlier`
/// (null: zeros).
struct BegunRow {
  bool finite;    ///< are o*alpha, `earlier` and `golden`?
  float largest;  ///< magnitude of o*alpha, where finite
};
BegunRow begin_row(Rescaling by, std::span<const numerics::Interval> o, const float* earlier,
                   const float* golden, FiniteRow& row, numerics::Path path = numerics::Path::fast);

/// o = golden - around - away_low to golden + around + away_high, rounded outwards.
/// @return false, o as it was, where a sum lies beyond `most`
bool end_row(const float* golden, std::span<const double> around, double most, FiniteRow& row,
             std::span<numerics::Interval> o, numerics::Path path = numerics::Path::fast);

/// widths[j] = width*v_max[j] + 2*ChainBound::of_size(), or what stands in widths[j] instead of the
/// product. `size`: of the chain, b_max aside, which is v_max[j].
struct SumOfWidths {
  bool add_to_widths;
  double width;  ///< unless they are added to
};
void chain_widths(const ChainBound& bound, ChainSize size, SumOfWidths sum,
                  std::span<const double> v_max, std::span<double> widths,
                  numerics::Path path = numerics::Path::fast);

/// widths[j] += width*|v[j]|.
void add_widths(double width, const float* v, std::span<double> widths,
                numerics::Path path = numerics::Path::fast);

/// What a row of legal P adds up to, in ascending columns.
struct LegalSums {
  double largest = 0, sum = 0;  ///< of the upper ends
  double width = 0;             ///< of upper less lower ends
};
/// Ends of a row's columns.
struct RowEnds {
  const float *low, *high;
};
void legal_sums(std::span<const RowEnds> rows, std::size_t columns, std::span<LegalSums> sums,
                numerics::Path path = numerics::Path::fast);

}  // namespace karat::bounds
