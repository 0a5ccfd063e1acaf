// karat recipes --schedule: which recipe each denoising step runs with, and the schedule in the
// form of another system.
#pragma once

#include "command.hpp"

namespace karat::cli {

void add_schedule_options(CommandLine& line);

/// Prints the steps, or writes the form that --format names. @pre --schedule was given
/// @throws Error(usage) with the reason where the form cannot hold the schedule
void print_schedule(const cxxopts::ParseResult& given);

/// @throws Error(usage) where an option of a schedule was given without --schedule
void require_schedule(const cxxopts::ParseResult& given);

}  // namespace karat::cli
