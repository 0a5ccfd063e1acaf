// Which recipe when: schedules over steps and heads that trade error against time. Pure: errors and
// times in, Pareto fronts out. Where they come from is tune_case.hpp's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace karat::study {

/// Every (step, group) picks one candidate; both sums are over all of them. A group is whatever is
/// decided apart: a head, a layer, a head of a layer, or the whole step.
struct TuneProblem {
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
void validate(const TuneProblem& problem);

/// The same decided for whole steps: groups summed.
TuneProblem by_step(const TuneProblem& problem);

/// The candidate of every item, [step][group].
using Assignment = std::vector<std::uint16_t>;

/// Time and error of an assignment, or of a front's point.
struct Totals {
  double time = 0;
  double error = 0;
};

/// Sums in ascending order of items. @throws Error(usage) when the assignment does not fit.
Totals evaluate(const TuneProblem& problem, std::span<const std::uint16_t> assignment);

struct FrontPoint {
  double time = 0;
  double error = 0;
  Assignment assignment;
};

/// Time ascending, error strictly descending: no point is beaten by another.
struct Front {
  std::vector<FrontPoint> points;
  /// True: no assignment of its kind lies below. False: the points are good ones, see `bound`.
  bool exact = true;

  /// The point with the least error within a time, or null when even the fastest takes longer.
  const FrontPoint* within(double budget) const;
};

/// Points that nothing beats; times that differ by less than 1e-12 of the largest count as equal.
std::vector<FrontPoint> pareto(std::vector<FrontPoint> points);

/// At most `most` points: both ends, those that `within` finds for each of `budgets`, and an even
/// choice of the others by time.
Front thinned(const Front& front, std::size_t most, std::span<const double> budgets = {});

// --- contiguous phases ---------------------------------------------------------------------------

/// The paper's three phases: steps 1..first run recipe[0], ..second recipe[1], the rest recipe[2].
/// No phase is empty: 1 <= first < second < steps; equal recipes make fewer phases.
/// alpha1 = first / steps, alpha2 = second / steps.
struct ThreePhases {
  int first = 0, second = 0;
  std::uint16_t recipe[3] = {};
  double time = 0, error = 0;
};

/// The exact front over all pairs (first, second) and all triples of recipes, the groups of a step
/// deciding alike. @throws Error(usage) for fewer than three steps.
std::vector<ThreePhases> three_phase_front(const TuneProblem& problem);
Assignment assignment_of(const ThreePhases& phases, const TuneProblem& problem);
/// The front's point within a budget, found without the front.
/// @throws Error(usage) as above, or for a budget that even the fastest exceeds.
ThreePhases three_phases_within(const TuneProblem& problem, double budget);

enum class PhaseOrder {
  any,
  slower,  ///< from phase to phase only to recipes that take longer
  faster,
};
struct PhasedOptions {
  int phases = 3;  ///< at most
  PhaseOrder order = PhaseOrder::any;
  std::size_t most_labels = 20000;  ///< kept per state; beyond it the front is no longer exact
};
/// The front over schedules of at most so many contiguous phases, by dynamic programming over
/// (step, phase, recipe) with the undominated sums of each state. Groups decide alike.
Front phased_front(const TuneProblem& problem, const PhasedOptions& options);

// --- every item for itself -----------------------------------------------------------------------

/// The Lagrangian relaxation: minimising error + price * time item by item, for every price. Its
/// solutions are the corners of the front's lower convex hull, each an optimal assignment at its
/// time.
class Relaxation {
 public:
  explicit Relaxation(const TuneProblem& problem);
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
Front general_front(const TuneProblem& problem, const GeneralOptions& options = {});

struct BudgetAnswer {
  FrontPoint point;
  double bound = 0;  ///< no assignment within the budget has less error than this
};
/// One budget: the hull's corner below it, then local search: single moves into the time left, and
/// exchanges of two where the problem is small. @throws Error(usage) for an impossible budget.
BudgetAnswer solve_within(const TuneProblem& problem, double budget);

// --- what others do ------------------------------------------------------------------------------

/// One recipe throughout.
Front uniform_front(const TuneProblem& problem);
/// `dense` for the first `warm_up` steps, one recipe after.
Front warm_up_front(const TuneProblem& problem, int dense, int warm_up);
/// STA's search: `dense` for the first `warm_up` steps, then for every item the candidate of least
/// error among `searched`. One point per speed limit: only candidates up to the k-th fastest count.
Front sta_search_front(const TuneProblem& problem, int dense, int warm_up,
                       std::span<const int> searched);

}  // namespace karat::study
