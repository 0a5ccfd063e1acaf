// Schedules of few contiguous phases: the paper's three, and any small number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "karat/tune/problem.hpp"

namespace karat::tune {

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

}  // namespace karat::tune
