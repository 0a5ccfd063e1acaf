// Tables of a study: errors per recipe, amplification, the ladder.
#include "study/summary.hpp"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.hpp"

namespace karat::cli {
namespace {

using statistics::Average;

std::string percent(const Average* interval) {
  if (interval == nullptr) return "-";
  if (interval->value < 1e-9) return "0 %";
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", 100 * interval->value);
  return text;
}

std::string factor(const Average* interval) {
  if (interval == nullptr) return "-";
  char text[64];
  if (std::isfinite(interval->high))
    std::snprintf(text, sizeof text, "%.3f (%.3f..%.3f)", interval->value, interval->low,
                  interval->high);
  else
    std::snprintf(text, sizeof text, "%.3f", interval->value);
  return text;
}

files::Json number(double x) {
  if (std::isinf(x)) return x > 0 ? "Inf" : "-Inf";
  return x;
}

files::Json json_of(const Average& i) {
  return {{"value", i.value},
          {"low", number(i.low)},
          {"high", number(i.high)},
          {"prompts", i.clusters},
          {"cells", i.cells}};
}

template <class Key>
files::Json json_of(const study::Averages<Key>& list) {
  files::Json json = files::Json::object();
  for (const auto& row : list) json[std::string(to_string(row.key))] = json_of(row.average);
  return json;
}

}  // namespace

void print_summary(const study::StudyResult& result, const study::Summary& summary) {
  std::printf("relative L2 error against dense FP64 attention, mean over %zu cells\n",
              result.jobs.size());
  std::printf("%-28s %9s %9s %9s %12s %9s\n", "recipe", "both", "mask", "fp8", "fp8 | mask",
              "guided");
  for (const auto& r : summary.recipes)
    std::printf("%-28s %9s %9s %9s %12s %9s\n", r.name.c_str(),
                percent(find(r.quantities, study::Measure::both)).c_str(),
                percent(find(r.quantities, study::Measure::mask)).c_str(),
                percent(find(r.quantities, study::Measure::fp8)).c_str(),
                percent(find(r.quantities, study::Measure::fp8_given_mask)).c_str(),
                percent(find(r.quantities, study::Measure::guided)).c_str());
  std::printf("\namplification, geometric mean (95 %% interval over %d prompts and their cells)\n",
              summary.prompts);
  std::printf("%-28s %-22s %-22s %-22s\n", "recipe", "over the sum", "over root-sum-square",
              "conditional");
  for (const auto& r : summary.recipes)
    std::printf("%-28s %-22s %-22s %-22s\n", r.name.c_str(),
                factor(find(r.amplifications, study::Amplification::sum)).c_str(),
                factor(find(r.amplifications, study::Amplification::rss)).c_str(),
                factor(find(r.amplifications, study::Amplification::conditional)).c_str());
  for (const auto& r : summary.recipes) {
    bool any = false;
    for (const auto& row : r.quantities) {
      if (row.key.measure() != study::Measure::rung) continue;
      if (!any)
        std::printf("\n%s, part by part%*s %12s %12s %12s\n", r.name.c_str(),
                    static_cast<int>(
                        std::max<std::size_t>(1, 20 - std::min<std::size_t>(19, r.name.size()))),
                    "", "so far", "given mask", "alone");
      any = true;
      const study::Part part = row.key.part();
      std::printf("  + %-30s %12s %12s %12s\n", std::string(to_string(part)).c_str(),
                  percent(&row.average).c_str(),
                  percent(find(r.quantities, {study::Measure::given, part})).c_str(),
                  percent(find(r.quantities, {study::Measure::alone, part})).c_str());
    }
  }
}

void print_study_json(const std::string& file, const study::StudyResult& result,
                      const study::Summary& summary) {
  files::Json recipes = files::Json::array();
  for (const auto& r : summary.recipes) {
    files::Json steps = files::Json::array();
    for (const auto& point : r.steps)
      steps.push_back(
          {{"step", point.step},
           {"sigma", std::isnan(point.sigma) ? files::Json(nullptr) : files::Json(point.sigma)},
           {"error", json_of(point.error)}});
    recipes.push_back({{"name", r.name},
                       {"quantities", json_of(r.quantities)},
                       {"amplification", json_of(r.amplifications)},
                       {"steps", steps}});
  }
  print_json("study", 1,
             {{"file", file},
              {"study", result.identity.sha256},
              {"origin", result.origin},
              {"cells", result.jobs.size()},
              {"prompts", summary.prompts},
              {"recipes", recipes}});
}

}  // namespace karat::cli
