// A study's answer as JSON.
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/study/report.hpp"

namespace karat::study {
namespace {

files::Json number(double x) {
  if (std::isinf(x)) return x > 0 ? "Inf" : "-Inf";
  return x;
}

files::Json json_of(const statistics::Average& i) {
  return {{"value", i.value},
          {"low", number(i.low)},
          {"high", number(i.high)},
          {"prompts", i.clusters},
          {"cells", i.cells}};
}

template <class Key>
files::Json json_of(const Averages<Key>& list) {
  files::Json json = files::Json::object();
  for (const auto& row : list) json[std::string(to_string(row.key))] = json_of(row.average);
  return json;
}

}  // namespace

files::Json to_json(const StudyResult& result, const Summary& summary) {
  files::Json recipes = files::Json::array();
  for (const auto& r : summary.recipes) {
    files::Json steps = files::Json::array();
    for (const auto& point : r.steps) {
      files::Json& step = steps.emplace_back(files::Json{
          {"step", point.step},
          {"sigma", std::isnan(point.sigma) ? files::Json(nullptr) : files::Json(point.sigma)}});
      for (const auto& [output, error] : point.errors)
        step[output == Output::o ? "error" : std::string(to_string(output))] = json_of(error);
    }
    recipes.push_back({{"name", r.name},
                       {"quantities", json_of(r.quantities)},
                       {"amplification", json_of(r.amplifications)},
                       {"steps", steps}});
  }
  return {{"study", result.identity.sha256},
          {"origin", result.origin},
          {"pass", to_string(result.pass)},
          {"output_gradient", to_string(result.output_gradient)},
          {"cells", result.jobs.size()},
          {"prompts", summary.prompts},
          {"recipes", recipes}};
}

}  // namespace karat::study
