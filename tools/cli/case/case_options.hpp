// What `make` and `attend` have in common: a recipe, and heads from a file or the generator.
#pragma once

#include <memory>
#include <string>

#include "command.hpp"
#include "karat/case/case.hpp"

namespace karat::cli {

void add_case_options(CommandLine& line);

struct CaseChoice {
  cases::Case of;
  std::string schedule;  ///< JSON of what --schedule picked: name, step, steps, phase, sigma
  std::uint64_t seed = 0;
  int threads = 0;
};
/// The arrays of --mask, read as --mask-order says; null without a mask.
/// @throws Error(usage) for an order without a mask
std::shared_ptr<const cases::GivenMask> mask_file(const cxxopts::ParseResult& given);

/// @throws Error(usage) for options that contradict each other
CaseChoice choose_case(const cxxopts::ParseResult& given);

}  // namespace karat::cli
