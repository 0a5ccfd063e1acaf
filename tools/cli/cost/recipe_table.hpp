// Recipes beside each other on one shape: time, density, what limits each, the error that a study
// measured of it.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/hopper/answer.hpp"
#include "karat/report/table.hpp"
#include "karat/study/sensitivity.hpp"

namespace karat::cli {

/// What is known of recipes' errors.
struct KnownErrors {
  std::string source;  ///< names the study
  /// By name: root of the mean squared relative error over all cells of the study, of recipes that
  /// it measured in every one of them.
  std::map<std::string, double, std::less<>> of;
};
KnownErrors known_errors(const study::SensitivityTable& table, std::string source);
/// Of the study that karat ships: presets alone.
KnownErrors shipped_errors();

struct RecipeRow {
  hopper::Answer answer = {};
  double layer_ms = 0;  ///< attention of one layer and forward, and the kernels around it
  double ratio = 0;  ///< the baseline's time / this one's: of runs where there are, else of layers
  std::optional<double> error = {};
  bool best = false;      ///< the least time on its GPU
  bool pareto = false;    ///< has an error, and no other row of its GPU is as fast and as exact
  bool baseline = false;  ///< what ratios refer to
  /// What rows are ordered by: seconds of a run, or milliseconds of a layer.
  double time() const { return answer.run ? answer.run->run_s : layer_ms; }
};

/// The answers of one GPU, the fastest first. @pre one of them is of the recipe `baseline`
std::vector<RecipeRow> compared(std::vector<hopper::Answer> answers, std::string_view baseline,
                                const KnownErrors& errors);

/// A recipe that the table has no row for.
struct LeftOut {
  std::string recipe, why;
};

struct RecipeTable {
  std::vector<RecipeRow> rows = {};  ///< GPU by GPU
  std::string baseline;
  KnownErrors errors;
  std::vector<LeftOut> left_out = {};
};
/// What is compared, the table, and what a reader must know of it.
std::string to_text(const RecipeTable& table, report::TableStyle style);
/// The fields of docs/json.md, "karat.cost.recipes".
files::Json to_json(const RecipeTable& table);

}  // namespace karat::cli
