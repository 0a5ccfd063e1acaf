// Values of options: whole numbers, extents, names. Strict: "12x" or "3,3" is an error that says
// so.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "karat/numerics/base/choice.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/video/grid.hpp"

namespace karat::cli {

/// @throws Error(usage) unless `text` is a whole number in [low, high]
std::int64_t parse_integer(std::string_view text, const std::string& option, std::int64_t low,
                           std::int64_t high = std::numeric_limits<std::int32_t>::max());
/// Numbers separated by commas.
std::vector<std::int64_t> parse_integers(std::string_view text, const std::string& option,
                                         std::int64_t low);
/// "T,H,W", each at least 1.
video::Extent3 parse_extent(std::string_view text, const std::string& option);
/// An extent of tokens: 2^31 - 1 together at most, as token numbers are 32-bit.
video::Extent3 parse_grid(std::string_view text, const std::string& option);

using numerics::Named;
using numerics::parse_choice;
using numerics::split;

}  // namespace karat::cli
