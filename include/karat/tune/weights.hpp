// What each step's error counts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/tune/errors.hpp"

namespace karat::tune {

/// Where weights come from.
enum class Weighting { uniform, sigma, propagation, user };
std::string_view to_string(Weighting weighting);

/// What the squared error of each step counts; the weights sum to 1.
struct StepWeights {
  Weighting weighting = Weighting::uniform;
  std::string about;  ///< one line
  std::vector<double> weight;
  std::string name() const { return std::string(to_string(weighting)); }
};
StepWeights uniform_weights(int steps);
/// |sigma_s - sigma_(s+1)|, the sampler's step: sum_s of weight x relative error bounds the
/// relative error that a rectified flow's last latent inherits. @param sigma per step; 0 follows
/// the last
StepWeights sampler_weights(std::span<const double> sigma);
/// sampler_weights times the growth of squared error by guidance. @param errors with `guidance`
StepWeights propagation_weights(std::span<const double> sigma, const StepErrors& errors);
/// A JSON list or lines of numbers, one per step.
/// @throws Error(input_output) unless they are as many as steps, from 0, and not all 0.
StepWeights parse_weights(std::string_view text, int steps, const std::string& subject);

}  // namespace karat::tune
