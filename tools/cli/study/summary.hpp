// A study's answer on stdout, for people and as JSON.
#pragma once

#include <string>

#include "karat/study/summary.hpp"

namespace karat::cli {

void print_summary(const study::StudyResult& result, const study::Summary& summary);
void print_study_json(const std::string& file, const study::StudyResult& result,
                      const study::Summary& summary);

}  // namespace karat::cli
