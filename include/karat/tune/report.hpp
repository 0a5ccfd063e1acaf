// What a tuning says: text, JSON and CSV.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/tune/run.hpp"

namespace karat::tune {

/// Lines for a terminal.
std::string to_text(const Result& result, const Request& request);
/// The fields of docs/json.md, "karat.tune".
files::Json to_json(const Result& result, const Request& request, const files::Json& schedule);
/// One line per point of every front.
std::string to_csv(const Result& result);

}  // namespace karat::tune
