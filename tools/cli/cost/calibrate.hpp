// karat cost --calibrate: a board that a user's own measurements are put right with.
#pragma once

#include <cxxopts.hpp>

#include "options.hpp"

namespace karat::cli {

/// The options --calibrate and --out.
void declare_calibration(CommandLine& line);

/// Fits the board --gpu to the rows, says what was found, and writes the board to --out. Any other
/// option is refused. @return the exit code
int calibrate_board(const cxxopts::ParseResult& given);

}  // namespace karat::cli
