// A study's answer in lines of text and as JSON.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/report/table.hpp"
#include "karat/study/summary.hpp"

namespace karat::study {

/// Lines for a terminal, or for a page of Markdown.
std::string to_text(const StudyResult& result, const Summary& summary,
                    report::TableStyle style = report::TableStyle::aligned);
/// The fields of docs/json.md, "karat.study", but for the file's name.
files::Json to_json(const StudyResult& result, const Summary& summary);

}  // namespace karat::study
