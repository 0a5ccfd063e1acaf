// What a check may leave open beyond exp2, and how V may lie, by the names that people give.
#pragma once

#include <string>
#include <string_view>

#include "karat/golden/check.hpp"

namespace karat::cli {

/// Adds what "order", "contraction" or "reciprocal" leave open.
/// @throws Error(usage) for another name; `option` is what it was given to
void allow(bounds::Freedom& freedom, std::string_view name, const std::string& option);

/// "BHSD", "BSHD" or "BHDS". @throws Error(usage) for another name
cases::TensorLayout parse_v_layout(std::string_view name, const std::string& option);

}  // namespace karat::cli
