// Fields of a journal's line, in order.
#include "job_json.hpp"

#include <nlohmann/json.hpp>

namespace karat::study {

files::Json to_json(const JobResult& result) {
  files::Json json{{"job", {result.job.prompt, result.job.step, result.job.layer, result.job.head}},
                   {"figures", files::Json::array()},
                   {"rows", files::Json::array()}};
  for (const Figure& f : result.figures)
    json["figures"].push_back(
        {static_cast<int>(f.branch), f.recipe, to_string(f.quantity), f.value, f.standard_error});
  for (const RowRecord& r : result.rows)
    json["rows"].push_back({r.recipe, r.token, r.truth, r.mask, r.both, r.given, r.kept_mass,
                            r.entropy, r.max_logit, r.edge});
  return json;
}

JobResult job_result(const files::Json& json) {
  const auto& job = json.at("job");
  JobResult result{.job = {job.at(0), job.at(1), job.at(2), job.at(3)}, .figures = {}, .rows = {}};
  for (const auto& f : json.at("figures"))
    result.figures.push_back({.branch = static_cast<video::Branch>(f.at(0).get<int>()),
                              .recipe = f.at(1),
                              .quantity = parse_quantity(f.at(2).get<std::string>(), "journal"),
                              .value = f.at(3),
                              .standard_error = f.at(4)});
  for (const auto& r : json.at("rows"))
    result.rows.push_back({.recipe = r.at(0),
                           .token = r.at(1),
                           .truth = r.at(2),
                           .mask = r.at(3),
                           .both = r.at(4),
                           .given = r.at(5),
                           .kept_mass = r.at(6),
                           .entropy = r.at(7),
                           .max_logit = r.at(8),
                           .edge = r.at(9)});
  return result;
}

}  // namespace karat::study
