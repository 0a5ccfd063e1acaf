// The commands of `karat sweep`, and what they share.
#pragma once

#include "karat/sweep/plan.hpp"
#include "options.hpp"

namespace karat::cli {

int run_sweep_plan(int argc, char** argv);
int run_sweep_run(int argc, char** argv);
int run_sweep_status(int argc, char** argv);
int run_sweep_retry(int argc, char** argv);
int run_sweep_merge(int argc, char** argv);

/// The plan that was named, without a slash at its end.
sweep::Plan opened_plan(const cxxopts::ParseResult& given);
/// The shards of --only, or none.
std::vector<std::size_t> only_of(const cxxopts::ParseResult& given, const sweep::Plan& plan);

}  // namespace karat::cli
