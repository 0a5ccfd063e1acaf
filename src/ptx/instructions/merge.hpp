// Private: results for some lanes only.
#pragma once

#include <cstdint>

#include "units/lanes.hpp"

namespace karat::ptx {

/// d[l] = value[l] for the lanes of the mask.
template <typename Lane>
void merge(Lane* d, const Lane* value, std::uint32_t lanes) {
  for (int l = 0; l < units::kLanes; ++l) d[l] = (lanes >> l & 1) != 0 ? value[l] : d[l];
}

/// Bits of a predicate for the lanes of the mask.
inline void merge_bits(std::uint32_t& d, std::uint32_t value, std::uint32_t lanes) {
  d = (d & ~lanes) | (value & lanes);
}

}  // namespace karat::ptx
