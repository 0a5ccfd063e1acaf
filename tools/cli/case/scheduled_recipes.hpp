// karat recipes --schedule: which recipe each denoising step runs with, and the schedule in the
// form of another system.
#pragma once

#include <string>

#include "command.hpp"
#include "karat/recipe/schedule.hpp"

namespace karat::cli {

void add_schedule_options(CommandLine& line);

/// Prints the steps, or writes the form that --format names. @pre --schedule was given
/// @throws Error(usage) with the reason where the form cannot hold the schedule
void print_schedule(const cxxopts::ParseResult& given);

/// "noise level from 0.9", "first 5 steps", "until 0.2 of the steps", "otherwise": when a phase
/// runs.
std::string condition_of(const recipe::Phase& phase);

/// @throws Error(usage) where an option of a schedule was given without --schedule
void require_schedule(const cxxopts::ParseResult& given);

}  // namespace karat::cli
