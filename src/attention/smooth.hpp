// Taking means out of Q, K and V before they are quantised (SageAttention).
#pragma once

#include <span>
#include <vector>

#include "karat/attention/head.hpp"

namespace karat::attention {

/// Subtracts from every row of `rows` (positions x channels) the mean over `range`'s tokens of each
/// channel and returns the means: mean = type(f64(exact sum)/n), x = type(f32(x - mean)),
/// subnormals kept, where type is the rule's smooth_mean: a cast to the input's format, one
/// rounding from f64, or none (f32). Padding stays zero.
std::vector<float> subtract_mean(std::span<float> rows, video::Range range,
                                 const video::TokenOrder& order, std::size_t channels,
                                 const recipe::Operand& rule, numerics::FormatId input_format);

}  // namespace karat::attention
