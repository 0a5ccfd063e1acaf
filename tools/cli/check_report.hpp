// A check's report for people and for programs.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/golden/check.hpp"

namespace karat::cli {

std::string check_text(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const golden::TensorSource& candidate);
/// Fields as docs/json.md lists them.
files::Json check_json(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const golden::TensorSource& candidate);

}  // namespace karat::cli
