// Fronts of every kind of schedule: as others choose them, of few phases, and with every item for
// itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "karat/tune/problem.hpp"

namespace karat::tune {

/// One recipe throughout.
Front uniform_front(const Problem& problem);
/// `dense` for the first `warm_up` steps, one recipe after.
Front warm_up_front(const Problem& problem, int dense, int warm_up);
/// STA's search: `dense` for the first `warm_up` steps, then for every item the candidate of least
/// error among `searched`. One point per speed limit: only candidates up to the k-th fastest count.
Front sta_search_front(const Problem& problem, int dense, int warm_up,
                       std::span<const int> searched);

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
std::vector<ThreePhases> three_phase_front(const Problem& problem);
Assignment assignment_of(const ThreePhases& phases, const Problem& problem);
/// The front's point within a budget, found without the front.
/// @throws Error(usage) as above, or for a budget that even the fastest exceeds.
ThreePhases three_phases_within(const Problem& problem, double budget);

/// The forms other systems use: one recipe for the first `start` and the last `end` steps, another
/// between them.
struct TwoEnds {
  int start = 0, end = 0;
  std::uint16_t high = 0, low = 0;
  double time = 0, error = 0;
};
enum class Ends {
  any,
  equal,        ///< start = end (xDiT)
  start_alone,  ///< 0 < start < steps, end = 0 (TensorRT-LLM)
};
/// The least error within a budget over all these recipes and ends, of equal errors the least time;
/// nothing where none fits. Groups of a step decide alike.
std::optional<TwoEnds> two_ends_within(const Problem& problem, Ends ends,
                                       std::span<const std::uint16_t> high,
                                       std::span<const std::uint16_t> low, double budget);

enum class PhaseOrder {
  any,
  slower,  ///< from phase to phase only to recipes that take longer
  faster,
};
std::string_view to_string(PhaseOrder order);

struct PhasedOptions {
  int phases = 3;  ///< at most
  PhaseOrder order = PhaseOrder::any;
  std::size_t most_labels = 20000;  ///< kept per state; beyond it the front is no longer exact
};
/// The front over schedules of at most so many contiguous phases, by dynamic programming over
/// (step, phase, recipe) with the undominated sums of each state. Groups decide alike.
Front phased_front(const Problem& problem, const PhasedOptions& options);

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
