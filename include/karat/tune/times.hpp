// The GPU's time for each candidate.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "karat/hopper/around.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::tune {

/// Seconds of one denoising step, all layers, heads and forwards, as `karat cost` answers them.
struct StepTimes {
  std::string gpu;
  double fixed_s = 0;  ///< linear layers, prompt attention, the rest: whatever the recipe
  std::vector<double> decided_s;  ///< per candidate: attention and the kernels around it
  double dense_s = 0;             ///< a whole step with dense BF16 attention
};
/// @throws Error(usage) naming the recipe that no Hopper kernel runs.
StepTimes step_times(const hopper::Machine& machine, const hopper::RunRequest& run,
                     std::span<const recipe::Recipe> recipes);

}  // namespace karat::tune
