// The slices behind trace and Gantt. Private to the hopper layer.
#pragma once

#include <vector>

#include "karat/hopper/trace.hpp"
#include "sm/sm.hpp"

namespace karat::hopper {

/// Slices of one SM, adjacent services of one kind joined.
std::vector<Slice> timeline(const Question& question, const AttentionCost& cost,
                            const TraceOptions& options);

}  // namespace karat::hopper
