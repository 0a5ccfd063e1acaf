// What is measured of the gradients in one cell.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gradients/prepared.hpp"
#include "karat/capture/source.hpp"
#include "karat/study/measure.hpp"

namespace karat::study {

/// Gradients of recipes against FP64, of their masks and their rounding alone, and of every part.
/// The first branch of a cell is looked at: guidance belongs to sampling.
class GradientMeasurement {
 public:
  /// @throws Error(usage) for a recipe without a backward or without meaning on the grid
  GradientMeasurement(const capture::Source& source, const std::vector<recipe::Recipe>& recipes,
                      const MeasureOptions& options);
  std::size_t steps_per_job() const;
  JobResult measure(const capture::Job& job, int threads, const std::function<void()>& step) const;

 private:
  const capture::Source& source_;
  MeasureOptions options_;
  std::vector<PreparedGradients> prepared_;
  std::map<std::string, std::vector<std::size_t>> of_mask_;  ///< recipes by mask_key
};

}  // namespace karat::study
