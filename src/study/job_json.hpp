// A job's result as one line of a journal.
#pragma once

#include "karat/files/json_file.hpp"
#include "karat/study/measure.hpp"

namespace karat::study {

/// {"job": [prompt, step, layer, head], "figures": [[branch, recipe, quantity, value, error], ...],
///  "rows": [[recipe, token, truth, mask, both, given, kept, entropy, logit, edge], ...]}
files::Json to_json(const JobResult& result);
/// @throws nlohmann's exceptions for anything else
JobResult job_result(const files::Json& json);

}  // namespace karat::study
