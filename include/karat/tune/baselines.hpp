// Schedules as others choose them: one recipe, a dense warm-up, STA's search.
#pragma once

#include <span>

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

}  // namespace karat::tune
