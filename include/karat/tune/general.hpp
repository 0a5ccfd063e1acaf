// Schedules in which every item decides for itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "karat/tune/problem.hpp"

namespace karat::tune {

/// The Lagrangian relaxation: minimising error + price * time item by item, for every price. Its
/// solutions are the corners of the front's lower convex hull, each an optimal assignment at its
/// time.
class Relaxation {
 public:
  explicit Relaxation(const Problem& problem);
  /// Corners, from the fastest assignment to the most accurate; totals are running sums.
  std::span<const Totals> corners() const { return corners_; }
  Assignment assignment(std::size_t corner) const;
  /// No assignment within `budget` has less error: the hull at the budget.
  /// @throws Error(usage) for a budget below the fastest assignment.
  double bound(double budget) const;
  /// The last corner within the budget. @throws as bound()
  std::size_t corner_within(double budget) const;

 private:
  struct Step {
    std::uint32_t item;
    std::uint16_t to;
  };
  std::vector<std::uint16_t> fastest_;
  std::vector<Step> path_;
  std::vector<Totals> corners_;
};

struct GeneralOptions {
  std::size_t most_items = 400;     ///< exact search up to here, relaxation and local search beyond
  std::size_t most_labels = 20000;  ///< of a partial sum list; beyond it that stretch is not exact
  std::size_t most_points = 400;    ///< of a front that is not exact
};

/// The front of the general problem. Exact: between neighbouring corners of the hull every
/// assignment whose reduced cost fits the gap is enumerated by undominated partial sums. Otherwise
/// corners of the hull, improved by local search.
Front general_front(const Problem& problem, const GeneralOptions& options = {});

struct BudgetAnswer {
  FrontPoint point;
  double bound = 0;  ///< no assignment within the budget has less error than this
};
/// One budget: the hull's corner below it, then local search: single moves into the time left, and
/// exchanges of two where the problem is small. @throws Error(usage) for an impossible budget.
BudgetAnswer solve_within(const Problem& problem, double budget);

}  // namespace karat::tune
