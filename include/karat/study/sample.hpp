// Which rows of a head are looked at, and what they say about all of them: query blocks drawn with
// probability proportional to their size, rows drawn inside, ratio estimates over the draws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "karat/layout/layout.hpp"

namespace karat::study {

struct SampleSpec {
  int rows = 256;         ///< rows looked at, together
  int draws = 8;          ///< query blocks they lie in
  std::uint64_t seed = 0;
};

struct Sample {
  std::vector<int> query_blocks;              ///< to compute; ascending, distinct
  std::vector<std::int32_t> tokens;           ///< rows looked at, original numbers, each once
  std::vector<std::vector<std::size_t>> draws;  ///< per draw its rows, indices into `tokens`
  bool complete = false;                      ///< every row: nothing is left to chance
};

/// Cuts the eligible positions into `draws` equal stretches, draws one position in each, takes its
/// query block and rows/draws of its rows. A block that is drawn twice counts twice. With no more
/// eligible rows than asked for, all are taken.
/// @param available tokens whose queries exist, ascending; empty: all. Blocks with others are not
///        eligible.
/// @param stream tells samples of one seed apart
/// @throws Error(usage) when no block is eligible or rows < draws
Sample draw_sample(const layout::Layout& layout, std::span<const std::int32_t> available,
                   const SampleSpec& spec, std::uint64_t stream);

struct Estimate {
  double value = 0;
  double standard_error = 0;
};

/// sqrt(sum of errors / sum of references) over all rows, from squares per sampled row. The standard
/// error is that of a ratio of means over draws (linearised; draws taken as independent, which is on
/// the safe side of the stretches they come from). 0 over 0 is 0.
Estimate relative_l2(const Sample& sample, std::span<const double> error_squares,
                     std::span<const double> reference_squares);
/// sum of values / number of rows, likewise.
Estimate mean(const Sample& sample, std::span<const double> values);

/// Half-width of the two-sided 95 % interval of an estimate over this sample: Student's t of
/// draws - 1 degrees of freedom times the standard error.
double half_width(const Sample& sample, const Estimate& estimate);

}  // namespace karat::study
