// The optimiser's problem from measured errors, modelled times and weights.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "karat/hopper/around.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/study/loop.hpp"
#include "karat/study/sensitivity.hpp"
#include "karat/tune/problem.hpp"

namespace karat::tune {

/// The table that karat ships, for `karat tune --quick`: measured by karat on its generated
/// workload with builtin_command(); a demonstrator, no model.
study::SensitivityTable builtin_sensitivity();
/// The command that makes the table again.
std::string_view builtin_command();

/// What picks a recipe for itself in every step: the whole step, each layer, each head (in all
/// layers alike), or each head of each layer.
enum class Decide { step, layer, head, cell };
std::string_view to_string(Decide decide);

/// Squared relative errors |o - truth|^2 / |truth|^2, means over branches and over the cells a
/// group holds; seeds (prompts) stay apart for the intervals.
struct StepErrors {
  int steps = 0, groups = 0, candidates = 0, seeds = 0;
  std::vector<std::string> group_names;        ///< "layer 3, head 1"
  std::vector<int> group_layers, group_heads;  ///< -1: all of them
  std::vector<double> squared;                 ///< [seed][step][group][candidate]
  std::vector<int> measured;                   ///< steps of the study; the rest lies between them
  int study_steps = 0;                         ///< that the study's sampler takes
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

/// Seconds of a whole step that somebody measured, or any other cost that adds up over steps.
struct OwnTimes {
  std::string about;   ///< what was measured, in the place of a GPU's name
  double dense_s = 0;  ///< with dense 16-bit attention
  std::vector<std::pair<std::string, double>> recipe_s;
  std::string subject;  ///< names the file in messages
};
/// {"about": words, "dense": seconds, "recipes": {name: seconds}}.
/// @throws Error(input_output) for other fields, and for times that are not above 0
OwnTimes parse_times(std::string_view text, const std::string& subject);
/// A dense 16-bit recipe that is not named takes `dense_s`.
/// @throws Error(usage) naming any other recipe that has no time
StepTimes step_times(const OwnTimes& own, std::span<const recipe::Recipe> recipes);
/// Over all pairs, Q, K and V in BF16 or F16: what speed-ups are told against.
bool dense_16_bit(const recipe::Recipe& recipe);

/// Where weights come from.
enum class Weighting { uniform, sigma, propagation, user, measured };
std::string_view to_string(Weighting weighting);

/// What the squared error of each step counts; the weights sum to 1.
struct StepWeights {
  Weighting weighting = Weighting::uniform;
  std::string about;  ///< one line
  std::vector<double> weight;
  /// What a layer counts beside the others of its step, [step][layer], mean 1 in each step; empty:
  /// all alike.
  std::vector<double> layer_share;
  /// Squared drift of the last latent over the squared error of a schedule; 0: not known.
  double drift_scale = 0;
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

/// What karat.loop measured: its weights by step, and by layer where it has them and the errors can
/// follow (`layers_known`: the errors know every one of its layers). Where the run has other steps,
/// or steps of other noise levels, its weights lie between the measured ones, as errors of
/// step_errors() do; then the drift is not known.
/// @param notes what a reader must know: another model, other steps, layers left out
/// @throws Error(input_output) for a study that has no weights
StepWeights loop_weights(const study::LoopStudy& loop, int steps, std::span<const double> sigma,
                         std::string_view model, bool layers_known, const std::string& subject,
                         std::vector<std::string>& notes);
/// Whether errors decided so can be weighted by layer: the table has every layer 0 to layers - 1
/// in full.
bool knows_layers(const study::SensitivityTable& table, Decide decide, int layers);
/// step_errors() with squared errors of each layer times its share.
/// @pre knows_layers(), weights.layer_share is not empty
StepErrors errors_by_layer(const study::SensitivityTable& table,
                           std::span<const std::string> recipes, Decide decide, int steps,
                           std::span<const double> sigma, const std::string& subject,
                           const StepWeights& weights);

/// error[s][g][c] = weight_s / groups x mean over seeds of the squared error, time[s][g][c] =
/// decided_s[c] / groups: errors of a schedule are weighted means of squares, heads counting alike.
Problem make_problem(const StepErrors& errors, const StepTimes& times, const StepWeights& weights);
/// The same with seeds counted `counts` times: one resample of a bootstrap.
Problem make_problem(const StepErrors& errors, const StepTimes& times, const StepWeights& weights,
                     std::span<const int> counts);

/// The error of an assignment for every seed.
std::vector<double> seed_errors(const StepErrors& errors, const StepWeights& weights,
                                std::span<const std::uint16_t> assignment);

}  // namespace karat::tune
