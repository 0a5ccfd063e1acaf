// What karat tune says: text, JSON and CSV.
#pragma once

#include <string>

#include "karat/files/json_file.hpp"
#include "karat/study/tune_run.hpp"

namespace karat::cli {

/// The schedule that meets the budget on the first GPU under the main weighting.
files::Json chosen_schedule(const study::TuneResult& result, study::TuneKind kind);
std::string tune_text(const study::TuneResult& result, const study::TuneRequest& request);
/// The fields of docs/json.md, "karat.tune".
files::Json tune_json(const study::TuneResult& result, const study::TuneRequest& request,
                      const files::Json& schedule);
/// One line per point of every front.
std::string tune_csv(const study::TuneResult& result);

}  // namespace karat::cli
