// The vector loops behind finite_rows.hpp: as many channels, or rows, as fill whole vectors.
#pragma once

#include <cstdint>

#include "finite_rows.hpp"

namespace karat::bounds::lanes {

/// Ends of alpha; products and sums below `least` become zeros of their sign.
struct Factors {
  float low, high, least;
};

/// Largest magnitudes by their bits, which are in order as numbers are, Inf and NaN last.
struct LargestBits {
  std::int32_t rescaled = 0, other = 0;
};

// Each returns how many channels it did. Intervals are pairs of numbers, low before high.

std::size_t rescale(Factors by, float* o, std::size_t channels);
std::size_t promote(Factors by, const float* o, const float* t, const float* f, float* ends,
                    std::size_t channels, LargestBits& largest);
std::size_t begin(Factors by, const float* o, const float* earlier, const float* golden,
                  FiniteRow& row, std::size_t channels, LargestBits& largest);
std::size_t end(const float* golden, const double* around, double most, FiniteRow& row,
                std::size_t channels, bool& beyond);
std::size_t widths(const ChainError& error, SumOfWidths sum, const double* v_max, double* widths,
                   std::size_t channels);
std::size_t add_widths(double width, const float* v, double* widths, std::size_t channels);

/// The definition: columns from `begin` on, one after the other.
inline void add_columns(RowEnds row, std::size_t begin, std::size_t columns, LegalSums& sums) {
  for (std::size_t n = begin; n < columns; ++n) {
    const double low = row.low[n], high = row.high[n];
    sums.largest = sums.largest < high ? high : sums.largest;
    sums.sum += high;
    sums.width += high - low;
  }
}
/// Sums of rows, which start from nothing. @return how many rows it did
std::size_t legal_sums(std::span<const RowEnds> rows, std::size_t columns,
                       std::span<LegalSums> sums);

}  // namespace karat::bounds::lanes
