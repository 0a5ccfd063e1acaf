// Which visits of a query block the kernel leaves out.
#pragma once

#include <algorithm>

#include "free_launch.hpp"
#include "karat/attention/operations/score.hpp"

namespace karat::bounds {

/// Scores and maxima decide; exp2 has no say.
inline bool skips(const FreeLaunch& free, const attention::BlockTap& tap, std::size_t visit) {
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  attention::SkipTest test(free.launch, visit);
  for (std::size_t i = 0; visit > 0 && i < rows; ++i) {
    const float* s = &tap.s[i * tap.key_position.size()];
    const float maximum =
        *std::max_element(s + tap.column_begin[visit], s + tap.column_begin[visit + 1]);
    test.row(tap.m[(visit - 1) * rows + i], maximum, free.f);
  }
  return test.skips();
}

}  // namespace karat::bounds
