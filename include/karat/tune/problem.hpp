// Which recipe when: schedules over steps and heads that trade error against time. Pure: errors and
// times in, Pareto fronts out. Where they come from stands in measured_problem.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace karat::tune {

/// Every (step, group) picks one candidate; both sums are over all of them. A group is whatever is
/// decided apart: a head, a layer, a head of a layer, or the whole step.
struct Problem {
  int steps = 0;
  int groups = 1;
  int candidates = 0;
  std::vector<double> error;  ///< [step][group][candidate], additive: weights are in it already
  std::vector<double> time;   ///< [step][group][candidate], additive, any unit

  std::size_t items() const { return static_cast<std::size_t>(steps) * groups; }
  std::size_t at(std::size_t item, int candidate) const {
    return item * static_cast<std::size_t>(candidates) + static_cast<std::size_t>(candidate);
  }
};

/// @throws Error(usage) when there is no step, group or candidate, more than 65535 candidates, an
///   array has another size, or a value is negative or not finite.
void validate(const Problem& problem);

/// The same decided for whole steps: groups summed.
Problem by_step(const Problem& problem);

/// The candidate of every item, [step][group].
using Assignment = std::vector<std::uint16_t>;

/// Time and error of an assignment, or of a front's point.
struct Totals {
  double time = 0;
  double error = 0;
};

/// Sums in ascending order of items. @throws Error(usage) when the assignment does not fit.
Totals evaluate(const Problem& problem, std::span<const std::uint16_t> assignment);

/// An assignment of whole steps, each group of a step deciding as the step does.
Assignment over_groups(std::span<const std::uint16_t> steps, int groups);

struct FrontPoint {
  double time = 0;
  double error = 0;
  Assignment assignment;
};

/// The assignment with its evaluate().
FrontPoint priced(const Problem& problem, Assignment assignment);

/// Time ascending, error strictly descending: no point is beaten by another.
struct Front {
  std::vector<FrontPoint> points;
  /// True: no assignment of its kind lies below. False: the points are good ones, see `bound`.
  bool exact = true;

  /// The point with the least error within a time, or null when even the fastest takes longer.
  const FrontPoint* within(double budget) const;
};

/// Leaves the points that no other beats, time ascending, error descending. Times that differ by
/// `same` of the largest count as equal: the point with less error stands for them.
/// @tparam Point has `time` and `error`
template <typename Point>
void remove_beaten(std::vector<Point>& points, double same = 1e-12) {
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
    return a.time != b.time ? a.time < b.time : a.error < b.error;
  });
  const double reach = points.empty() ? 0 : same * points.back().time;
  std::size_t kept = 0;
  for (Point& point : points) {
    if (kept > 0 && point.error >= points[kept - 1].error) continue;
    if (kept > 0 && point.time - points[kept - 1].time <= reach) --kept;
    std::swap(points[kept++], point);
  }
  points.resize(kept);
}

/// At most `most` points: both ends, those that `within` finds for each of `budgets`, and an even
/// choice of the others by time.
Front thinned(const Front& front, std::size_t most, std::span<const double> budgets = {});

}  // namespace karat::tune
