// A loop study in lines of text and as JSON.
#include "karat/report/text.hpp"

#include <nlohmann/json.hpp>

#include "karat/video/grid.hpp"
#include "loop/summary.hpp"

namespace karat::study {
namespace {

using files::Json;
using report::print;

std::string with_interval(const LoopMean& mean) {
  return print("%.4g", mean.value) +
         (mean.interval ? print(" [%.4g, %.4g]", mean.interval->low, mean.interval->high) : "");
}

Json mean_json(const LoopMean& mean) {
  return {{"value", mean.value},
          {"interval", mean.interval ? Json{mean.interval->low, mean.interval->high} : Json()}};
}

Json means_json(const std::vector<std::optional<LoopMean>>& means) {
  Json json = Json::array();
  for (const auto& mean : means) json.push_back(mean ? mean_json(*mean) : Json());
  return json;
}

Json number_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::string in_brackets(const std::optional<LoopPrediction>& prediction) {
  if (!prediction) return "";
  return " (weights per " + std::string(to_string(prediction->per)) + ", " +
         std::string(to_string(prediction->errors)) + " errors)";
}

Json prediction_json(const std::optional<LoopPrediction>& prediction) {
  if (!prediction) return {};
  return {{"per", to_string(prediction->per)}, {"errors", to_string(prediction->errors)}};
}

}  // namespace

std::string to_text(const LoopStudy& study, report::TableStyle style) {
  using report::Table;
  const std::size_t seeds = seed_count(study);
  std::string text = print("%s: %s tokens, %d steps, %d layers, %zu seed%s, %zu runs\n",
                           study.model.c_str(), video::to_string(study.grid).c_str(), study.steps,
                           study.layers, seeds, seeds == 1 ? "" : "s", study.runs.size());
  if (const auto runs = whole_runs(study); !runs.empty()) {
    Table table{.columns = {{"run"}, {"drift"}}, .rows = {}};
    for (const WholeRuns& run : runs)
      table.rows.push_back({run.name, with_interval(run.drift.back())});
    text += "\nDrift of the last latent\n" + report::to_text(table, style);
  }
  if (!study.rows.empty()) {
    Table table{.columns = {{"recipe"}, {"first"}, {"middle"}, {"last"}}, .rows = {}};
    for (std::size_t r = 0; r < study.recipes.size(); ++r) {
      const auto errors = local_errors(study, static_cast<int>(r));
      std::vector<std::string> row{study.recipes[r].name};
      for (const std::size_t step : {std::size_t{0}, errors.size() / 2, errors.size() - 1})
        row.push_back(errors[step] ? with_interval(*errors[step]) : "-");
      table.rows.push_back(std::move(row));
    }
    text += "\nLocal error of attention's output, first, middle and last step\n" +
            report::to_text(table, style);
  }
  if (study.weights) {
    Table table{.columns = {{"step"}, {"weight"}}, .rows = {}};
    for (int step = 0; step < study.steps; ++step)
      table.rows.push_back(
          {std::to_string(step), with_interval(step_weight(*study.weights, step))});
    text += "\nSquared drift per squared local error, by step\n" + report::to_text(table, style);
  }
  bool predictions = false;
  for (const LoopSchedule& one : study.schedules) predictions = predictions || one.predicted;
  if (predictions) {
    const auto number = [](const std::optional<double>& value) {
      return value ? print("%.4g", *value) : "-";
    };
    Table table{.columns = {{"schedule"}, {"predicted"}, {"measured"}}, .rows = {}};
    for (const LoopSchedule& one : study.schedules)
      table.rows.push_back({one.name, number(one.predicted), number(one.measured)});
    text += "\nSchedules: drift predicted" + in_brackets(study.prediction) + " and measured\n" +
            report::to_text(table, style);
    if (study.spearman) text += print("rank correlation (Spearman) %.3f\n", *study.spearman);
  }
  return text;
}

Json to_json(const LoopStudy& study) {
  Json json{{"origin", study.origin},
            {"model", study.model},
            {"grid", {study.grid.t, study.grid.h, study.grid.w}},
            {"steps", study.steps},
            {"layers", study.layers},
            {"seeds", seed_count(study)},
            {"recipes", Json::array()},
            {"runs", Json::array()},
            {"weights", nullptr},
            {"schedules", Json::array()},
            {"prediction", prediction_json(study.prediction)},
            {"spearman", number_json(study.spearman)}};
  for (std::size_t r = 0; r < study.recipes.size(); ++r)
    json["recipes"].push_back(
        {{"recipe", study.recipes[r].name},
         {"error_by_step", means_json(local_errors(study, static_cast<int>(r)))},
         {"error_by_layer", means_json(layer_errors(study, static_cast<int>(r)))}});
  for (const WholeRuns& run : whole_runs(study)) {
    Json drift = Json::array();
    for (const LoopMean& mean : run.drift) drift.push_back(mean_json(mean));
    json["runs"].push_back({{"name", run.name}, {"drift", drift}});
  }
  if (study.weights) {
    Json steps = Json::array();
    for (int step = 0; step < study.steps; ++step)
      steps.push_back(mean_json(step_weight(*study.weights, step)));
    json["weights"] = {{"step", steps}, {"cells", !study.weights->cell.empty()}};
  }
  for (const LoopSchedule& one : study.schedules)
    json["schedules"].push_back({{"name", one.name},
                                 {"predicted", number_json(one.predicted)},
                                 {"measured", number_json(one.measured)}});
  return json;
}

}  // namespace karat::study
