// `make --cell`: one cell of a model's run as the case, generated or from a folder of captures.
#pragma once

#include "karat/case/request.hpp"
#include "options.hpp"

namespace karat::cli {

void add_cell_options(CommandLine& line);
/// The case of --cell, or of everything else where it was not given.
/// @throws Error(usage) for options that say nothing about a cell
cases::ChosenCase choose_case(const cxxopts::ParseResult& given, const cases::CaseRequest& asked);

}  // namespace karat::cli
