// Strict reading of what karat.loop writes.
#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "karat/files/paths.hpp"
#include "karat/recipe/json.hpp"
#include "karat/study/loop.hpp"
#include "loop/node.hpp"

namespace karat::study {
namespace {

constexpr std::array<std::string_view, 8> kLocal{"seed",   "step",   "layer", "head",
                                                 "branch", "recipe", "error", "sampling_error"};
constexpr std::array<std::string_view, 3> kRunKinds{"whole", "step", "cell"};
constexpr std::array<std::string_view, 2> kPredictionErrors{"independent", "aligned"};
constexpr int kMostSteps = 1'000'000;

Sensitivity row_of(const Node& node, const LoopStudy& study) {
  const std::vector<Node> cells = node.list(kLocal.size());
  const std::string branch = cells[4].text();
  if (branch != to_string(video::Branch::conditional) &&
      branch != to_string(video::Branch::unconditional))
    cells[4].fail("is no branch");
  return {.cell = {.prompt = cells[0].whole(),
                   .step = cells[1].whole(0, study.steps),
                   .layer = cells[2].whole(0, study.layers),
                   .head = cells[3].whole(),
                   .branch = video::parse_branch(branch)},
          .recipe = cells[5].whole(0, std::ssize(study.recipes)),
          .error = cells[6].number(),
          .sampling_error = cells[7].number()};
}

void read_rows(const Node& local, LoopStudy& study) {
  local.object({"columns", "rows"});
  const std::vector<Node> columns = local["columns"].list(kLocal.size());
  for (std::size_t i = 0; i < kLocal.size(); ++i)
    if (columns[i].text() != kLocal[i]) columns[i].fail("is not " + std::string(kLocal[i]));
  for (const Node& node : local["rows"].list()) {
    const Sensitivity row = row_of(node, study);
    if (!study.rows.empty()) {
      const Sensitivity& before = study.rows.back();
      if (std::tie(before.cell, before.recipe) >= std::tie(row.cell, row.recipe))
        node.fail("is out of order or stands twice");
    }
    study.rows.push_back(row);
  }
}

LoopRun run_of(const Node& node, const LoopStudy& study) {
  node.object({"seed", "name", "kind", "step", "layer", "recipe", "drift"});
  LoopRun run{.seed = node["seed"].whole(), .name = node["name"].text()};
  const std::string kind = node["kind"].text();
  const auto at = std::find(kRunKinds.begin(), kRunKinds.end(), kind);
  if (at == kRunKinds.end()) node["kind"].fail("is none of whole, step, cell");
  run.kind = static_cast<LoopRunKind>(at - kRunKinds.begin());
  const auto place = [&](const char* field, bool wanted, std::int64_t end) {
    if (wanted) return node[field].whole(0, end);
    if (!node[field].null()) node[field].fail("says nothing in a run of kind " + kind);
    return -1;
  };
  const bool part = run.kind != LoopRunKind::whole;
  run.step = place("step", part, study.steps);
  run.layer = place("layer", run.kind == LoopRunKind::cell, study.layers);
  run.recipe = place("recipe", part, std::ssize(study.recipes));
  run.drift = node["drift"].numbers(static_cast<std::size_t>(study.steps));
  return run;
}

LoopWeights weights_of(const Node& node, const LoopStudy& study) {
  node.object({"step", "cell", "seeds"});
  const auto steps = static_cast<std::size_t>(study.steps);
  LoopWeights weights{.step = node["step"].numbers(steps), .cell = {}, .by_seed = {}};
  if (!node["cell"].null())
    for (const Node& row : node["cell"].list(steps))
      for (const double weight : row.numbers(static_cast<std::size_t>(study.layers)))
        weights.cell.push_back(weight);
  for (const Node& one : node["seeds"].list()) {
    one.object({"seed", "step"});
    one["seed"].whole();
    weights.by_seed.push_back(one["step"].numbers(steps));
  }
  double sum = 0;
  for (const double weight : weights.step) sum += weight;
  if (!(sum > 0) || std::isinf(sum)) node["step"].fail("has no sum above 0");
  return weights;
}

std::optional<double> maybe(const Node& node) {
  return node.null() ? std::nullopt : std::optional(node.number());
}

LoopSchedule schedule_of(const Node& node, const LoopStudy& study) {
  node.object({"name", "recipes", "predicted", "measured"});
  LoopSchedule schedule{.name = node["name"].text(),
                        .recipes = {},
                        .predicted = maybe(node["predicted"]),
                        .measured = maybe(node["measured"])};
  for (const Node& row : node["recipes"].list(static_cast<std::size_t>(study.steps)))
    for (const Node& one : row.list(static_cast<std::size_t>(study.layers)))
      schedule.recipes.push_back(one.null() ? -1 : one.whole(0, std::ssize(study.recipes)));
  return schedule;
}

LoopPrediction prediction_of(const Node& node) {
  node.object({"per", "errors"});
  LoopPrediction prediction;
  const std::string per = node["per"].text(), errors = node["errors"].text();
  if (per != "step" && per != "cell") node["per"].fail("is none of step, cell");
  prediction.per = per == "step" ? LoopRunKind::step : LoopRunKind::cell;
  const auto at = std::find(kPredictionErrors.begin(), kPredictionErrors.end(), errors);
  if (at == kPredictionErrors.end()) node["errors"].fail("is none of independent, aligned");
  prediction.errors = static_cast<LoopErrors>(at - kPredictionErrors.begin());
  return prediction;
}

void read_recipes(const Node& node, LoopStudy& study, const std::string& subject) {
  std::set<std::string> names;
  for (const Node& one : node.list()) {
    if (!one.json().is_object()) one.fail("is no recipe");
    study.recipes.push_back(recipe::parse_recipe(one.json().dump(), subject));
    if (!names.insert(study.recipes.back().name).second) one.fail("has a name that stands twice");
  }
}

}  // namespace

std::string_view to_string(LoopRunKind kind) { return kRunKinds[static_cast<std::size_t>(kind)]; }
std::string_view to_string(LoopErrors errors) {
  return kPredictionErrors[static_cast<std::size_t>(errors)];
}

bool looks_like_loop(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

LoopStudy parse_loop(const files::Json& json, const std::string& subject) {
  const Node root(json, subject, "");
  if (!json.is_object() || !json.contains("schema") || json.at("schema") != "karat.loop")
    root.fail("is no karat.loop, which karat.loop.write() makes");
  if (!json.contains("version") || json.at("version") != 1) root.fail("is not of version 1");
  root.object({"schema", "version", "origin", "model", "steps", "layers", "grid", "guidance",
               "sigma", "recipes", "local", "runs", "weights", "schedules", "prediction",
               "spearman"});
  LoopStudy study{.origin = root["origin"].text(),
                  .model = root["model"].text(),
                  .steps = root["steps"].whole(1, kMostSteps + 1),
                  .layers = root["layers"].whole(1, kMostSteps + 1)};
  const std::vector<Node> grid = root["grid"].list(3);
  study.grid = {grid[0].whole(1), grid[1].whole(1), grid[2].whole(1)};
  const std::string guidance = root["guidance"].text();
  if (guidance != "none" && guidance != "calls" && guidance != "batch")
    root["guidance"].fail("is none of none, calls, batch");
  const auto steps = static_cast<std::size_t>(study.steps);
  study.sigma = root["sigma"].null() ? std::vector<double>(steps, std::nan(""))
                                     : root["sigma"].numbers(steps);
  read_recipes(root["recipes"], study, subject);
  read_rows(root["local"], study);
  for (const Node& run : root["runs"].list()) study.runs.push_back(run_of(run, study));
  if (!root["weights"].null()) study.weights = weights_of(root["weights"], study);
  for (const Node& one : root["schedules"].list())
    study.schedules.push_back(schedule_of(one, study));
  if (!root["prediction"].null()) study.prediction = prediction_of(root["prediction"]);
  if (!root["spearman"].null()) {
    const files::Json& rho = root["spearman"].json();
    if (!rho.is_number() || !(std::abs(rho.get<double>()) <= 1))
      root["spearman"].fail("is no number from -1 to 1");
    study.spearman = rho.get<double>();
  }
  return study;
}

LoopStudy read_loop(const std::filesystem::path& path) {
  return parse_loop(files::read_json(path), path.string());
}

SensitivityTable sensitivity(const LoopStudy& study, const std::string& subject) {
  SensitivityTable table{.origin = study.origin,
                         .steps = study.steps,
                         .sigma = study.sigma,
                         .recipes = {},
                         .rows = study.rows};
  for (const recipe::Recipe& recipe : study.recipes) table.recipes.push_back(recipe.name);
  validate(table, subject);
  return table;
}

}  // namespace karat::study
