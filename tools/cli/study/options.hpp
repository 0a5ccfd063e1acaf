// The options of `karat study`, turned into a source, recipes and what to measure.
#pragma once

#include <memory>
#include <vector>

#include "command.hpp"
#include "karat/capture/generated.hpp"
#include "karat/capture/plan.hpp"
#include "karat/study/measure.hpp"

namespace karat::cli {

void add_study_options(CommandLine& line);

struct StudyChoice {
  std::unique_ptr<capture::Source> source;
  std::vector<recipe::Recipe> recipes;
  study::MeasureOptions options;
  int threads = 0;
};
/// @throws Error(usage) for options that contradict each other
StudyChoice choose_study(const cxxopts::ParseResult& given);

/// What --plan was given beside it.
capture::PlanSpec choose_plan(const cxxopts::ParseResult& given);

/// "0,5,10" and "0-9" in any mixture, ascending, each once.
std::vector<int> parse_list(std::string_view text, const std::string& option);

}  // namespace karat::cli
