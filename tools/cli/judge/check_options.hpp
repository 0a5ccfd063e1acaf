// Options that check and diagnose share: how the candidate lies in its file, and which part to take.
#pragma once

#include "command.hpp"
#include "karat/golden/check.hpp"

namespace karat::cli {

/// golden, candidate, --layout, --order, --select, --threads.
void add_check_options(CommandLine& line);
golden::CheckOptions check_options(const cxxopts::ParseResult& given);

}  // namespace karat::cli
