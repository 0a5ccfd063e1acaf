// delta where the order of its sum, or fused multiply-adds, are free.
#pragma once

#include <span>

#include "karat/attention/backward_view.hpp"
#include "karat/bounds/legal_kernels.hpp"

namespace karat::bounds {

/// All that is legal of a row whose output lies in `o`: the recipe's own sum over intervals, or,
/// where order or contraction are free, the exact sum and what roundings may add in any order.
/// docs/bounds.md, "Gradients".
numerics::Interval legal_deltas(const attention::BackwardView& view, const Freedom& freedom,
                                std::int64_t position, std::span<const numerics::Interval> o);

/// delta of one legal kernel with output `o`: where it is free, sums that begin at another channel,
/// one kernel by sequence and the next in pairs, or fused.
float legal_delta(const attention::BackwardView& view, const Freedom& freedom,
                  const LegalKernel& kernel, std::int64_t position, std::span<const float> o);

}  // namespace karat::bounds
