// The optimiser's problem from errors, times and weights.
#include "karat/tune/measured_problem.hpp"

namespace karat::tune {

Problem make_problem(const StepErrors& errors, const StepTimes& times, const StepWeights& weights,
                     std::span<const int> counts) {
  Problem problem{.steps = errors.steps, .groups = errors.groups, .candidates = errors.candidates};
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

Problem make_problem(const StepErrors& errors, const StepTimes& times, const StepWeights& weights) {
  const std::vector<int> once(static_cast<std::size_t>(errors.seeds), 1);
  return make_problem(errors, times, weights, once);
}

std::vector<double> seed_errors(const StepErrors& errors, const StepWeights& weights,
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

}  // namespace karat::tune
