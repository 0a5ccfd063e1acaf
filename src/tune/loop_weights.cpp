// Weights that karat.loop measured, by step and by layer, in place of modelled ones.
#include <cmath>
#include <numeric>
#include <set>

#include "between.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/tune/measured_problem.hpp"

namespace karat::tune {
namespace {

constexpr double kSameNoise = 1e-3;  // samplers' own roundings of a noise level stay below

/// Whether both know the noise level of every step.
bool noise_known(const study::LoopStudy& loop, std::span<const double> sigma) {
  bool known = !sigma.empty();
  for (const double level : loop.sigma) known = known && std::isfinite(level);
  return known;
}

bool same_steps(const study::LoopStudy& loop, int steps, std::span<const double> sigma) {
  bool same = steps == loop.steps;
  for (std::size_t s = 0; same && noise_known(loop, sigma) && s < sigma.size(); ++s)
    same = std::abs(sigma[s] - loop.sigma[s]) <= kSameNoise;
  return same;
}

/// Where the run's steps lie among the loop's: by noise level where both know it, else by place.
std::vector<Between> loop_places(const study::LoopStudy& loop, int steps,
                                 std::span<const double> sigma) {
  const bool by_sigma = noise_known(loop, sigma);
  std::vector<double> known, wanted;
  for (int step = 0; step < loop.steps; ++step)
    known.push_back(by_sigma ? -loop.sigma[static_cast<std::size_t>(step)]
                             : (step + 0.5) / loop.steps);
  for (int step = 0; step < steps; ++step)
    wanted.push_back(by_sigma ? -sigma[static_cast<std::size_t>(step)] : (step + 0.5) / steps);
  return places_between(known, wanted);
}

/// The weight of a step's layers, all of them or one sum a step.
struct StepRows {
  std::size_t columns = 1;
  std::vector<double> values;  ///< [step][column]
};

StepRows moved(const StepRows& rows, std::span<const Between> places) {
  StepRows out{.columns = rows.columns, .values = {}};
  for (const Between& b : places)
    for (std::size_t i = 0; i < rows.columns; ++i)
      out.values.push_back(between(rows.values[b.low * rows.columns + i],
                                   rows.values[b.high * rows.columns + i], b.share));
  return out;
}

}  // namespace

StepWeights loop_weights(const study::LoopStudy& loop, int steps, std::span<const double> sigma,
                         std::string_view model, bool layers_known, const std::string& subject,
                         std::vector<std::string>& notes) {
  if (!loop.weights)
    throw Error(ErrorKind::input_output, subject, "has no weights",
                "give what karat.loop.sensitivities made");
  if (loop.model != model)
    notes.push_back("Warning: " + subject + " measured its weights on " + loop.model + ", not on " +
                    std::string(model) + ".");
  const bool by_layer = !loop.weights->cell.empty() && layers_known;
  if (!loop.weights->cell.empty() && !layers_known)
    notes.push_back("Warning: the errors do not know the " + std::to_string(loop.layers) +
                    " layers of " + subject + ": its weights by layer are left out.");
  StepRows rows{.columns = by_layer ? static_cast<std::size_t>(loop.layers) : 1,
                .values = by_layer ? loop.weights->cell : loop.weights->step};
  const bool same = same_steps(loop, steps, sigma);
  if (!same) {
    notes.push_back("Warning: " + subject + " measured " + std::to_string(loop.steps) + " steps" +
                    (steps != loop.steps ? ", this run has " + std::to_string(steps)
                                         : " of other noise levels than this run's") +
                    ": weights lie between the measured ones, and no drift is predicted.");
    rows = moved(rows, loop_places(loop, steps, sigma));
  }
  StepWeights out{.weighting = Weighting::measured,
                  .about = "squared drift per squared local error, measured by perturbing " +
                           std::string(by_layer ? "one layer of one step" : "one step") +
                           " at a time: " + subject,
                  .weight = {},
                  .layer_share = {}};
  for (std::size_t step = 0; step < static_cast<std::size_t>(steps); ++step) {
    const double* row = &rows.values[step * rows.columns];
    const double sum = std::accumulate(row, row + rows.columns, 0.0);
    out.weight.push_back(sum);
    if (by_layer)
      for (std::size_t i = 0; i < rows.columns; ++i)
        out.layer_share.push_back(sum > 0 ? row[i] * static_cast<double>(rows.columns) / sum : 1);
  }
  const double total = std::accumulate(out.weight.begin(), out.weight.end(), 0.0);
  if (!(total > 0) || std::isinf(total))
    throw Error(ErrorKind::input_output, subject, "has weights without a sum above 0",
                "perturb with recipes that change something");
  for (double& weight : out.weight) weight /= total;
  if (same) out.drift_scale = total;
  return out;
}

bool knows_layers(const study::SensitivityTable& table, Decide decide, int layers) {
  const Decide finest = finest_decision(table);
  const bool heads = decide == Decide::head || decide == Decide::cell;
  if (finest != Decide::cell && (heads || finest != Decide::layer)) return false;
  std::set<int> known;
  for (const study::Sensitivity& row : table.rows) known.insert(row.cell.layer);
  return std::ssize(known) == layers && *known.rbegin() == layers - 1;
}

StepErrors errors_by_layer(const study::SensitivityTable& table,
                           std::span<const std::string> recipes, Decide decide, int steps,
                           std::span<const double> sigma, const std::string& subject,
                           const StepWeights& weights) {
  const bool heads = decide == Decide::head || decide == Decide::cell;
  const StepErrors fine =
      step_errors(table, recipes, heads ? Decide::cell : Decide::layer, steps, sigma, subject);
  StepErrors out = step_errors(table, recipes, decide, steps, sigma, subject);
  std::vector<std::size_t> group_of;  // of the wanted ones, for each fine group
  std::vector<int> parts(static_cast<std::size_t>(out.groups), 0);
  for (std::size_t g = 0; g < static_cast<std::size_t>(fine.groups); ++g) {
    std::size_t at = 0;
    while (!((out.group_layers[at] < 0 || out.group_layers[at] == fine.group_layers[g]) &&
             (out.group_heads[at] < 0 || out.group_heads[at] == fine.group_heads[g])))
      ++at;
    group_of.push_back(at);
    ++parts[at];
  }
  const std::size_t layers = weights.layer_share.size() / static_cast<std::size_t>(steps);
  const auto candidates = static_cast<std::size_t>(fine.candidates);
  std::fill(out.squared.begin(), out.squared.end(), 0.0);
  std::size_t from = 0;
  for (std::size_t row = 0; row < static_cast<std::size_t>(fine.seeds * steps); ++row)
    for (std::size_t g = 0; g < group_of.size(); ++g) {
      const std::size_t step = row % static_cast<std::size_t>(steps);
      const double share =
          weights.layer_share[step * layers + static_cast<std::size_t>(fine.group_layers[g])] /
          parts[group_of[g]];
      double* to =
          &out.squared[(row * static_cast<std::size_t>(out.groups) + group_of[g]) * candidates];
      for (std::size_t c = 0; c < candidates; ++c) to[c] += share * fine.squared[from++];
    }
  return out;
}

}  // namespace karat::tune
