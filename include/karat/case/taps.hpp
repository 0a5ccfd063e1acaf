// Which query blocks are recorded.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "karat/layout/layout.hpp"

namespace karat::cases {

/// The default: first, last, one of each ragged size, then seeded ones up to `count` (ascending).
std::vector<int> choose_taps(const layout::Layout& layout, std::uint64_t seed, int count = 8);

/// "all", "none", or query blocks "0,5,17"; "" is the default.
/// @throws Error(usage) for anything else, or a block the layout has not
std::vector<int> parse_taps(std::string_view text, const layout::Layout& layout,
                            std::uint64_t seed);

}  // namespace karat::cases
