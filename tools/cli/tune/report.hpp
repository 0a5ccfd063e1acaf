// What karat tune says: text, JSON and CSV.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/tune/run.hpp"

namespace karat::cli {

/// The schedule that meets the budget on the first GPU under the main weighting.
files::Json chosen_schedule(const tune::Result& result, tune::ScheduleKind kind);
std::string tune_text(const tune::Result& result, const tune::Request& request);
/// The fields of docs/json.md, "karat.tune".
files::Json tune_json(const tune::Result& result, const tune::Request& request,
                      const files::Json& schedule);
/// One line per point of every front.
std::string tune_csv(const tune::Result& result);

}  // namespace karat::cli
