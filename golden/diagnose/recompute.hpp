// Query blocks of a trial computed again: by the engine, or by the kernel that takes mistakes.
#pragma once

#include <vector>

#include "karat/bounds/head_work.hpp"
#include "prediction.hpp"

namespace karat::golden {

/// Results per token, and where asked their legal ranges.
struct Recomputed {
  attention::HeadResult result;
  std::vector<bool> computed;   ///< per token
  bounds::OutputBounds bounds;  ///< empty where no range is known
};

/// The query blocks that hold most of the tokens, at most `most`, ascending.
std::vector<int> blocks_of(const layout::Layout& layout, const std::vector<std::int32_t>& tokens,
                           std::size_t most);

/// These query blocks; none is computed where the list is empty.
Recomputed recompute(const Trial& trial, const std::vector<int>& blocks, Ranges ranges);

}  // namespace karat::golden
