// A diagnosis for people and for programs.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/golden/diagnose.hpp"
#include "karat/report/text.hpp"

namespace karat::golden {

/// The hypotheses in order, each with its evidence and where to look.
/// @param golden,candidate what the two files are called
std::string to_text(const Diagnosis& diagnosis, const std::string& golden,
                    const std::string& candidate, report::Painter painted = report::unpainted);
/// Fields as docs/json.md lists them. @param seconds that the diagnosis took
files::Json to_json(const Diagnosis& diagnosis, const std::string& golden,
                    const std::string& candidate, double seconds);

}  // namespace karat::golden
