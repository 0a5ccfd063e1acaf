// What a tuning decides: a recipe for every step, and what that promises.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/recipe/schedule.hpp"
#include "karat/tune/run.hpp"

namespace karat::tune {

struct Decision {
  std::string gpu;
  Assignment steps = {};  ///< of every step, into Result::recipes
  double time_s = 0;      ///< of a whole run
  double error = 0;       ///< as TunedPoint has it
  /// Of the dense warm-up of least error within the budget; none where none fits.
  std::optional<double> warm_up_error;
};

/// The schedule of that kind within the budget of every GPU, under the main weighting.
/// @pre kind decides for whole steps: three_phase or general_by_step
std::vector<Decision> decisions(const Result& result, ScheduleKind kind);
/// What a schedule of the result's recipes promises on the first GPU, under the main weighting.
Decision decision(const Result& result, const recipe::Schedule& schedule);

/// "steps 1 to 38 fa3_fp8, 39 to 50 fa3_bf16: 153 s, error 0.046; a dense warm-up: 0.069". Equal
/// recipes in a row are one stretch.
std::string to_text(const Decision& decision, const Result& result);
/// {"text", "gpu", "steps": [{"first", "last", "recipe"}], "time_s", "error",
///  "dense_warm_up_error"}, steps from 1.
files::Json to_json(const Decision& decision, const Result& result);

}  // namespace karat::tune
