// Measured errors, brought to every step of the sampler.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/study/sensitivity.hpp"

namespace karat::tune {

/// What picks a recipe for itself in every step: the whole step, each layer, each head (in all
/// layers alike), or each head of each layer.
enum class Decide { step, layer, head, cell };
std::string_view to_string(Decide decide);

/// Squared relative errors |o - truth|^2 / |truth|^2, means over branches and over the cells a
/// group holds; seeds (prompts) stay apart for the intervals.
struct StepErrors {
  int steps = 0, groups = 0, candidates = 0, seeds = 0;
  std::vector<std::string> group_names;  ///< "layer 3, head 1"
  std::vector<double> squared;           ///< [seed][step][group][candidate]
  std::vector<int> measured;             ///< steps of the study; the rest lies between them
  int study_steps = 0;                   ///< that the study's sampler takes
  /// Per step: squared error after guidance over the squared error of the branches, |v| alike;
  /// empty unless the study measured both branches everywhere.
  std::vector<double> guidance;
};

/// The finest decision for which the table has every measured step, seed and recipe.
Decide finest_decision(const study::SensitivityTable& table);

/// Steps that were not measured lie between their neighbours: linear in log error over the noise
/// level where it is known, else over the step's place.
/// @param recipes names of the candidates, in the order wanted
/// @param sigma noise level of each of the run's `steps` steps; empty: not known
/// @throws Error(usage) for an empty or unknown candidate, a study that leaves more steps out at an
///   end than between its own, or cells that some recipe or seed lacks; `subject` names the study.
StepErrors step_errors(const study::SensitivityTable& table, std::span<const std::string> recipes,
                       Decide decide, int steps, std::span<const double> sigma,
                       const std::string& subject);

}  // namespace karat::tune
