// One head on its way in: values in the caller's token order, then codes and scales in the
// kernel's order of positions.
#pragma once

#include <span>

#include "karat/attention/layout.hpp"
#include "karat/numerics/tensor_core.hpp"

namespace karat::attention {

/// tokens x channels each, row-major, original token order, finite.
struct HeadInput {
  std::span<const float> q, k, v;
};

/// Operands over positions (padding rows are zero). Attention can start from here: fill it with
/// quant::from_codes() when codes and scales come from elsewhere.
struct QuantisedHead {
  quant::Quantised q, k, v;
};

/// Reorders, smooths and quantises. Both paths give the same bits, for any number of threads.
QuantisedHead quantise_head(const recipe::Recipe& recipe, const Layout& layout,
                            const HeadInput& input, numerics::Path path, int threads = 1);

}  // namespace karat::attention
