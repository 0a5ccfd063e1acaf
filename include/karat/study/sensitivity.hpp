// How much each (prompt, step, layer, head, branch) suffers under each recipe: the plain table that
// a study leaves behind and a tuner starts from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "karat/capture/cell.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/files/json_file.hpp"

namespace karat::study {

struct Sensitivity {
  capture::Cell cell;
  std::int32_t recipe = 0;  ///< index into SensitivityTable::recipes
  /// |o - truth| / |truth| over the sampled rows, Frobenius norms, truth = dense attention in FP64.
  double error = 0;
  double sampling_error = 0;  ///< standard error of `error` from sampling rows; 0: all rows
  /// The same for o_u + g * (o_c - o_u) against the guided truth, in both branches' rows; NaN where
  /// only one branch was measured.
  double guided_error = std::numeric_limits<double>::quiet_NaN();
};

struct SensitivityTable {
  std::string origin;                ///< where Q, K, V came from, in words
  int steps = 50;                    ///< denoising steps of the sampler; a cell's step is below
  std::vector<double> sigma;         ///< noise level per step, `steps` values; NaN: not known
  std::vector<std::string> recipes;  ///< names, each once
  std::vector<Sensitivity> rows;     ///< ascending by (cell, recipe), each pair once
};

/// @throws Error(input_output) "subject: ..." for a table that breaks what is promised above: a row
/// twice, indices out of range, an error that is negative, NaN or infinite, no rows at all.
void validate(const SensitivityTable& table, const std::string& subject);

/// Reads what a study wrote: its HDF5 result, its CSV or JSON, or a loop study (told apart by
/// content). Rows of the first three may stand in any order. The result is valid.
/// @throws Error(input_output) naming the file, and the line of a CSV.
SensitivityTable read_sensitivity(const std::filesystem::path& path);

/// prompt,step,steps,sigma,layer,head,branch,recipe,error,sampling_error,guided_error; one line a
/// row, empty where not known, shortest decimals that read back the same.
std::string sensitivity_csv(const SensitivityTable& table);
SensitivityTable parse_sensitivity_csv(std::string_view text, const std::string& subject);

/// {"schema": "karat.sensitivity", "version": 1, "origin", "steps", "sigma", "recipes", "columns",
///  "rows": [[prompt, step, layer, head, branch, recipe, error, sampling_error, guided_error],
///  ...]}
files::Json sensitivity_json(const SensitivityTable& table);
SensitivityTable parse_sensitivity_json(const files::Json& json, const std::string& subject);

/// Group "sensitivity" of a result file: one dataset per column, attributes for the rest.
void write_sensitivity(files::Hdf5Writer& file, const SensitivityTable& table);
SensitivityTable read_sensitivity(const files::Hdf5Reader& file, const std::string& subject);

}  // namespace karat::study
