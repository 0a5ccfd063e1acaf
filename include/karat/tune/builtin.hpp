// The sensitivity table that karat ships, for `karat tune --quick`.
#pragma once

#include <string_view>

#include "karat/study/sensitivity.hpp"

namespace karat::tune {

/// Measured by karat on its generated workload with builtin_command(); a demonstrator, no model.
study::SensitivityTable builtin_sensitivity();
/// The command that makes the table again.
std::string_view builtin_command();

}  // namespace karat::tune
