// Where the error lives: sampled rows sorted by what is known about them, in bins of equal size.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "karat/study/run.hpp"

namespace karat::study {

/// Something a row can be sorted by.
struct LocusAxis {
  std::string_view name;
  std::string_view title;  ///< with units
  double RowRecord::*value;
};
/// Kept mass, entropy, largest logit, distance to the window's edge.
std::vector<LocusAxis> locus_axes();

/// Rows between two quantiles of an axis: sqrt(sum of squared errors / sum of squared truth).
struct LocusBin {
  double centre = 0;  ///< mean of the axis over the rows
  double mask = 0;    ///< of the mask against dense truth
  double fp8 = 0;     ///< of the recipe against the truth under its mask
  double both = 0;
  std::size_t rows = 0;
};
/// @return empty when the recipe was not taken apart
std::vector<LocusBin> locus(const StudyResult& result, std::int32_t recipe, const LocusAxis& axis,
                            std::size_t bins = 5);

}  // namespace karat::study
