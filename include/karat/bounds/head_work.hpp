// One head's engine run with the legal range of every output.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/bounds/bounds.hpp"

namespace karat::bounds {

/// Legal ranges of one head, original token order; all empty where nothing is free.
struct OutputBounds {
  std::vector<float> o_low, o_high;  ///< tokens x channels
  std::vector<float> l_low, l_high;  ///< tokens
  std::vector<float> lse_low, lse_high;
};

struct BoundedResult {
  attention::HeadResult golden;  ///< taps of the asked query blocks
  OutputBounds bounds;
};

using Steps = std::function<void(std::size_t done, std::size_t total)>;

/// @param branch  what may be added to the outputs; null: the head's own
BoundedResult attend_with_bounds(const recipe::Recipe& recipe, const layout::Layout& layout,
                                 const attention::QuantisedHead& head, const std::vector<int>& taps,
                                 int threads, const Steps& progress, Freedom allowed = {},
                                 const BranchRange* branch = nullptr);

/// Rows of a query block's tokens, gathered from values per token.
std::vector<float> gather(std::span<const float> per_token, const layout::Layout& layout,
                          video::Range queries, std::size_t channels);

}  // namespace karat::bounds
