// What sampled rows say about all rows: ratio estimates over draws.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace karat::statistics {

/// Rows in draws that are independent of each other; rows of one draw need not be.
struct Draws {
  std::vector<std::vector<std::size_t>> rows;  ///< per draw, indices into the values
  bool complete = false;                       ///< every row was drawn: nothing is left to chance
};

struct Estimate {
  double value = 0;
  double standard_error = 0;
};

/// sqrt(sum of errors / sum of references) over all rows, from squares per sampled row. The
/// standard error is that of a ratio of means over draws, linearised. 0 over 0 is 0.
Estimate relative_l2(const Draws& draws, std::span<const double> error_squares,
                     std::span<const double> reference_squares);

/// sum of products / sqrt(sum of a_squares * sum of b_squares) over all rows: the cosine between
/// two tensors, from a.b, |a|^2 and |b|^2 of every sampled row. Two tensors of zeros have cosine 1,
/// one of zeros beside another 0.
Estimate cosine(const Draws& draws, std::span<const double> products,
                std::span<const double> a_squares, std::span<const double> b_squares);

/// sum of values / number of rows, likewise.
Estimate mean(const Draws& draws, std::span<const double> values);

/// Half-width of the two-sided 95 % interval of an estimate over these draws: Student's t of draws
/// - 1 degrees of freedom times the standard error.
double half_width(const Draws& draws, const Estimate& estimate);

}  // namespace karat::statistics
