// What `make` and `attend` have in common: the options of a case, and what is told while one is
// computed.
#pragma once

#include "karat/case/request.hpp"
#include "karat/case/taps.hpp"
#include "karat/recipe/evidence.hpp"
#include "options.hpp"

namespace karat::cli {

void add_case_options(CommandLine& line);
/// @throws Error(usage) for options of a generated workload beside --in
cases::CaseRequest read_case(const cxxopts::ParseResult& given);

/// --dq-tap and --dkv-tap, beside the command's own --tap.
void add_backward_taps(CommandLine& line);
/// @throws Error(usage) for taps of a backward without --backward
/// @param forward  what --tap says
cases::TapWords read_taps(const cxxopts::ParseResult& given, std::string forward);

/// One line per distinct instruction of the recipe: "hopper.wgmma.e4m3.f32: hardware_rows; ...".
void say_evidence(Narration narration, const recipe::Recipe& recipe);

}  // namespace karat::cli
