// What is measured in one cell: errors of a recipe against FP64 truth, of its mask and its FP8
// alone, of every source of error, and through guidance; or the same of its gradients.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "karat/capture/source.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/study/quantity.hpp"
#include "karat/study/sample.hpp"

namespace karat::study {

/// One number of one cell.
struct Figure {
  video::Branch branch = video::Branch::conditional;
  std::int32_t recipe = 0;
  Quantity quantity = Measure::both;
  double value = 0;
  double standard_error = 0;  ///< from sampling rows
  friend bool operator==(const Figure&, const Figure&) = default;
};

/// One sampled row of a recipe that is taken apart, first branch: where the error lives.
struct RowRecord {
  std::int32_t recipe = 0, token = 0;
  double truth = 0;                      ///< |D|^2 of the row; the errors below are squares too
  double mask = 0, both = 0, given = 0;  ///< |M - D|^2, |R - D|^2, |R - M|^2
  double kept_mass = 0;                  ///< of the row's attention
  double entropy = 0;                    ///< of the row's dense attention, natural units
  double max_logit = 0;                  ///< natural units
  double edge = 0;  ///< tokens from the query to the nearest edge of its window inside the grid
  friend bool operator==(const RowRecord&, const RowRecord&) = default;
};

struct JobResult {
  capture::Job job;
  std::vector<Figure> figures;
  std::vector<RowRecord> rows;
  friend bool operator==(const JobResult&, const JobResult&) = default;
};

struct MeasureOptions {
  SampleSpec sample;                         ///< of a backward: as many rows of keys besides
  std::vector<std::int32_t> taken_apart{0};  ///< recipes whose ladder is climbed
  Pass pass = Pass::forward;
};

/// Recipes with everything about them that does not depend on a head, ready to meet one after
/// another.
class Workbench {
 public:
  /// @throws Error(usage) for no recipes, two of one name, or one without meaning on the source's
  /// grid, or Pass::backward and one without a backward
  Workbench(const capture::Source& source, std::vector<recipe::Recipe> recipes,
            const MeasureOptions& options);
  ~Workbench();

  const std::vector<recipe::Recipe>& recipes() const;
  Pass pass() const;
  /// Steps a job reports, for progress.
  std::size_t steps_per_job() const;
  /// All figures of one job, on `threads` threads. Bits depend on source, recipes and options
  /// alone.
  /// @param step called after each step; an exception it throws ends the work
  JobResult measure(const capture::Job& job, int threads, const std::function<void()>& step) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::study
