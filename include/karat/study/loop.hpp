// What karat.loop recorded of whole denoising runs: local errors, drift, measured weights,
// schedules predicted and measured. docs/loop.md describes the file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/report/html.hpp"
#include "karat/report/table.hpp"
#include "karat/study/sensitivity.hpp"
#include "karat/video/grid.hpp"

namespace karat::study {

enum class LoopRunKind {
  whole,  ///< a schedule from the first step to the last
  step,   ///< one recipe in one step, PyTorch's attention elsewhere
  cell,   ///< one recipe in one layer of one step
};
std::string_view to_string(LoopRunKind kind);

struct LoopRun {
  int seed = 0;
  std::string name;
  LoopRunKind kind = LoopRunKind::whole;
  int step = -1, layer = -1, recipe = -1;  ///< -1: does not apply
  std::vector<double> drift;               ///< after every step, |x - unmodified| / |unmodified|
};

/// Squared drift of the last latent per squared local error.
struct LoopWeights {
  std::vector<double> step;
  std::vector<double> cell;                  ///< [step][layer]; empty: not measured
  std::vector<std::vector<double>> by_seed;  ///< `step` of every seed by itself
};

struct LoopSchedule {
  std::string name;
  std::vector<int> recipes;  ///< [step][layer] into LoopStudy::recipes; -1: PyTorch's
  std::optional<double> predicted, measured;  ///< drift of the last latent
};

/// How squared drifts of steps make a run's.
enum class LoopErrors {
  independent,  ///< squares add up
  aligned,      ///< drifts add up: all errors point the same way
};
std::string_view to_string(LoopErrors errors);

/// What LoopSchedule::predicted is.
struct LoopPrediction {
  LoopRunKind per = LoopRunKind::step;  ///< whose weights, step or cell
  LoopErrors errors = LoopErrors::independent;
};

struct LoopStudy {
  std::string origin, model;
  int steps = 0, layers = 0;
  video::Extent3 grid{};
  std::vector<double> sigma;  ///< per step; NaN: not known
  std::vector<recipe::Recipe> recipes;
  std::vector<Sensitivity> rows;  ///< local errors, ascending by (cell, recipe); guided ones NaN
  std::vector<LoopRun> runs;
  std::optional<LoopWeights> weights;
  std::vector<LoopSchedule> schedules;
  std::optional<LoopPrediction> prediction;  ///< nothing where none was predicted
  std::optional<double> spearman;            ///< of the schedules' predicted and measured drift
};

/// Whether a text may be such a file: its first character, but for blanks, is an object's.
bool looks_like_loop(std::string_view text);
/// @throws Error(input_output) "subject: ..." with the place of whatever docs/loop.md does not say:
///   unknown or missing fields, numbers out of range, lists of the wrong length, rows out of order.
LoopStudy parse_loop(const files::Json& json, const std::string& subject);
/// The same of a file. @throws also when it cannot be read
LoopStudy read_loop(const std::filesystem::path& path);

/// The local errors as a tuner reads them; seeds are its prompts.
/// @throws Error(input_output) where none were recorded
SensitivityTable sensitivity(const LoopStudy& study, const std::string& subject);

/// Lines for a terminal, or for a page of Markdown.
std::string to_text(const LoopStudy& study, report::TableStyle style = report::TableStyle::aligned);
/// The fields of docs/json.md, "karat.loop_report", but for the file's name.
files::Json to_json(const LoopStudy& study);
/// One HTML file that needs nothing else. The same arguments give the same bytes.
std::string html_page(const LoopStudy& study, const report::Provenance& made_by);

}  // namespace karat::study
