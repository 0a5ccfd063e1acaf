// What a schedule costs: an answer for each phase, and all of them together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/hopper/answer.hpp"
#include "karat/hopper/request.hpp"
#include "karat/recipe/schedule.hpp"

namespace karat::cli {

/// An answer per phase of a schedule, about the steps that run with it, and what they are together.
struct Phases {
  std::vector<hopper::Answer> answers;
  std::optional<hopper::RunTime> run;  ///< of a model
  /// Of a shape in numbers: one layer and forward of every step; 0 where the steps are not known.
  int steps = 0;
  double attention_ms = 0, dense_ms = 0;
};

/// Each phase of the schedule on the shape and machine of `base`, for a model's `run` or for
/// `steps` steps of a shape in numbers.
/// @throws Error(usage) where a phase asks for noise levels that the model's sampler has not, or
/// `base` has a density and no phase predicts a mask
Phases price_phases(const recipe::Schedule& schedule, const hopper::Question& base,
                    std::optional<hopper::RunRequest> run, int steps);

std::string to_text(const Phases& phases);
/// The fields of "schedule" in docs/json.md.
files::Json to_json(const Phases& phases);

}  // namespace karat::cli
