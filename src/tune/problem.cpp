// The tuner's problem: checks, sums, and fronts as sets of points.
#include "karat/tune/problem.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::tune {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& problem,
                         const std::string& action) {
  throw Error(ErrorKind::usage, subject, problem, action);
}

void require_values(const std::vector<double>& values, std::size_t size, const char* what) {
  if (values.size() != size)
    refuse(what,
           std::to_string(values.size()) + " values where the shape has " + std::to_string(size),
           "give one per step, group and candidate");
  for (const double value : values)
    if (!(value >= 0) || std::isinf(value))
      refuse(what, "holds a value that is negative or not finite", "give finite values from 0");
}

}  // namespace

void validate(const Problem& problem) {
  if (problem.steps < 1 || problem.groups < 1) refuse("schedule", "has no steps", "give some");
  if (problem.candidates < 1) refuse("candidates", "the list is empty", "name at least one recipe");
  if (problem.candidates > 65535) refuse("candidates", "are more than 65535", "give fewer");
  const std::size_t size = problem.items() * static_cast<std::size_t>(problem.candidates);
  require_values(problem.error, size, "errors");
  require_values(problem.time, size, "times");
}

Problem by_step(const Problem& problem) {
  Problem out{.steps = problem.steps, .groups = 1, .candidates = problem.candidates};
  const auto row = static_cast<std::size_t>(problem.candidates);
  out.error.assign(static_cast<std::size_t>(problem.steps) * row, 0);
  out.time = out.error;
  for (std::size_t item = 0; item < problem.items(); ++item) {
    const std::size_t step = item / static_cast<std::size_t>(problem.groups);
    for (std::size_t c = 0; c < row; ++c) {
      out.error[step * row + c] += problem.error[item * row + c];
      out.time[step * row + c] += problem.time[item * row + c];
    }
  }
  return out;
}

Totals evaluate(const Problem& problem, std::span<const std::uint16_t> assignment) {
  if (assignment.size() != problem.items())
    refuse("schedule", "does not have one recipe per step and group", "build it for this problem");
  Totals totals;
  for (std::size_t item = 0; item < assignment.size(); ++item) {
    if (assignment[item] >= problem.candidates)
      refuse("schedule", "names a recipe that is none of the candidates", "build it for these");
    totals.time += problem.time[problem.at(item, assignment[item])];
    totals.error += problem.error[problem.at(item, assignment[item])];
  }
  return totals;
}

FrontPoint priced(const Problem& problem, Assignment assignment) {
  const Totals totals = evaluate(problem, assignment);
  return {totals.time, totals.error, std::move(assignment)};
}

Assignment over_groups(std::span<const std::uint16_t> steps, int groups) {
  Assignment out;
  for (const std::uint16_t c : steps) out.insert(out.end(), static_cast<std::size_t>(groups), c);
  return out;
}

const FrontPoint* Front::within(double budget) const {
  const auto after =
      std::upper_bound(points.begin(), points.end(), budget * (1 + 1e-12),
                       [](double value, const FrontPoint& point) { return value < point.time; });
  return after == points.begin() ? nullptr : &*(after - 1);
}

Front thinned(const Front& front, std::size_t most, std::span<const double> budgets) {
  const std::size_t size = front.points.size();
  if (size <= most) return front;
  std::vector<bool> keep(size, false);
  keep.front() = keep.back() = true;
  for (const double budget : budgets)
    if (const FrontPoint* point = front.within(budget))
      keep[static_cast<std::size_t>(point - front.points.data())] = true;
  const double begin = front.points.front().time, end = front.points.back().time;
  const auto kept = static_cast<std::size_t>(std::count(keep.begin(), keep.end(), true));
  for (std::size_t i = 0; kept + i < most; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(most - kept);
    const FrontPoint* point = front.within(begin + share * (end - begin));
    if (point) keep[static_cast<std::size_t>(point - front.points.data())] = true;
  }
  Front out{.points = {}, .exact = front.exact};
  for (std::size_t i = 0; i < size; ++i)
    if (keep[i]) out.points.push_back(front.points[i]);
  return out;
}

}  // namespace karat::tune
