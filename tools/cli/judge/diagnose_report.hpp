// A diagnosis for people and for programs.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/golden/diagnose.hpp"

namespace karat::cli {

std::string diagnosis_text(const golden::Diagnosis& diagnosis, const std::string& golden,
                           const std::string& candidate);
/// Fields as docs/json.md lists them.
files::Json diagnosis_json(const golden::Diagnosis& diagnosis, const std::string& golden,
                           const std::string& candidate, double seconds);

}  // namespace karat::cli
