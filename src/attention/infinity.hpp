// Private: what the engines compare scores with: a score of -Inf is no score.
#pragma once

#include <limits>

namespace karat::attention {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace karat::attention
