// A study's answer in lines of text and as JSON.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/study/summary.hpp"

namespace karat::study {

/// Lines for a terminal.
std::string to_text(const StudyResult& result, const Summary& summary);
/// The fields of docs/json.md, "karat.study", but for the file's name.
files::Json to_json(const StudyResult& result, const Summary& summary);

}  // namespace karat::study
