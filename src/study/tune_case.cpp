// The optimiser's problem from errors, times and weights.
#include "karat/study/tune_case.hpp"

#include "karat/numerics/base/error.hpp"

namespace karat::study {

TuneTimes tune_times(const hopper::Machine& machine, const hopper::RunRequest& run,
                     std::span<const recipe::Recipe> recipes) {
  TuneTimes out{.gpu = machine.name};
  for (const recipe::Recipe& recipe : recipes) {
    hopper::Question question{.recipe = recipe, .machine = machine};
    hopper::RunTime time;
    try {
      time = hopper::run_time(question, run);
    } catch (const Error& error) {
      throw Error(error.kind(), "recipe " + recipe.name + " on " + machine.name, error.what());
    }
    const double decided = (time.attention_ms + time.around_ms) * run.forwards_per_step * 1e-3;
    out.decided_s.push_back(decided);
    out.fixed_s = time.step_ms * 1e-3 - decided;
    out.dense_s = time.dense_forward_ms * run.forwards_per_step * 1e-3;
  }
  return out;
}

TuneProblem tune_problem(const TuneErrors& errors, const TuneTimes& times,
                         const StepWeights& weights, std::span<const int> counts) {
  TuneProblem problem{
      .steps = errors.steps, .groups = errors.groups, .candidates = errors.candidates};
  const auto candidates = static_cast<std::size_t>(errors.candidates);
  const std::size_t size = problem.items() * candidates;
  int drawn = 0;
  for (const int count : counts) drawn += count;
  problem.error.assign(size, 0);
  for (std::size_t seed = 0; seed < counts.size(); ++seed)
    for (std::size_t i = 0; counts[seed] > 0 && i < size; ++i)
      problem.error[i] += counts[seed] * errors.squared[seed * size + i];
  problem.time.reserve(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t step = i / candidates / static_cast<std::size_t>(errors.groups);
    problem.error[i] *= weights.weight[step] / errors.groups / drawn;
    problem.time.push_back(times.decided_s[i % candidates] / errors.groups);
  }
  return problem;
}

TuneProblem tune_problem(const TuneErrors& errors, const TuneTimes& times,
                         const StepWeights& weights) {
  const std::vector<int> once(static_cast<std::size_t>(errors.seeds), 1);
  return tune_problem(errors, times, weights, once);
}

std::vector<double> seed_errors(const TuneErrors& errors, const StepWeights& weights,
                                std::span<const std::uint16_t> assignment) {
  const auto groups = static_cast<std::size_t>(errors.groups);
  const auto candidates = static_cast<std::size_t>(errors.candidates);
  std::vector<double> out;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(errors.seeds); ++seed) {
    const double* squared = &errors.squared[seed * assignment.size() * candidates];
    double sum = 0;
    for (std::size_t item = 0; item < assignment.size(); ++item)
      sum += weights.weight[item / groups] * squared[item * candidates + assignment[item]];
    out.push_back(sum / static_cast<double>(groups));
  }
  return out;
}

}  // namespace karat::study
