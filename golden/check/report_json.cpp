// A check's report with the fields that docs/json.md lists.
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/bounds/liberties.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/recipe/evidence.hpp"

namespace karat::golden {
namespace {

files::Json json_number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "NaN" : value > 0 ? "Inf" : "-Inf";
}

files::Json difference_json(const Difference& difference) {
  files::Json json{{"batch", difference.at.batch}, {"head", difference.at.head}};
  const auto add = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) json[name] = *value;
  };
  add("token", difference.at.token);
  add("channel", difference.at.channel);
  add("group", difference.at.group);
  add("query_tile", difference.at.query_tile);
  add("query_block", difference.at.query_block);
  add("key_token", difference.at.key_token);
  add("key_tile", difference.at.key_tile);
  add("key_block", difference.at.key_block);
  json["golden"] = json_number(difference.golden);
  json["candidate"] = json_number(difference.candidate);
  json["low"] = json_number(difference.low);
  json["high"] = json_number(difference.high);
  json["ulp"] = difference.ulp;
  return json;
}

files::Json specials_json(const Specials& specials) {
  return {{"nan", specials.nan},
          {"inf", specials.infinite},
          {"saturated", specials.saturated},
          {"zero", specials.zero}};
}

files::Json doubts_json(const std::vector<Doubt>& doubts) {
  constexpr std::string_view kReasons[] = {"spread", "error"};
  constexpr std::string_view kScopes[] = {"head", "block", "row", "value"};
  files::Json list = files::Json::array();
  for (const Doubt& doubt : doubts) {
    files::Json json{{"reason", kReasons[static_cast<int>(doubt.reason)]},
                     {"scope", kScopes[static_cast<int>(doubt.scope)]},
                     {"batch", doubt.at.batch},
                     {"head", doubt.at.head},
                     {"found", json_number(doubt.found)},
                     {"allowed", json_number(doubt.allowed)},
                     {"text", doubt_text(doubt)}};
    if (doubt.at.query_block) json["query_block"] = *doubt.at.query_block;
    if (doubt.at.key_block) json["key_block"] = *doubt.at.key_block;
    if (doubt.at.token) json["token"] = *doubt.at.token;
    if (doubt.at.channel) json["channel"] = *doubt.at.channel;
    list.push_back(std::move(json));
  }
  return list;
}

files::Json freedom_json(const bounds::Freedom& freedom) {
  files::Json names = files::Json::array();
  for (const bounds::Liberty& liberty : liberties(freedom)) names.push_back(liberty.name);
  return names;
}

}  // namespace

files::Json to_json(const CheckReport& report, const GoldenFile& golden,
                    const cases::TensorSource& candidate) {
  files::Json stages = files::Json::array();
  for (const StageReport& stage : report.stages) {
    files::Json json{{"stage", stage.stage},
                     {"format", numerics::format(stage.format).name},
                     {"result", verdict_name(stage.verdict)},
                     {"fixed", stage.fixed},
                     {"compared", stage.compared},
                     {"differing", stage.differing},
                     {"outside", stage.outside},
                     {"max_ulp", stage.max_ulp},
                     {"relative_l2", json_number(stage.relative_l2)},
                     {"ulp_histogram", stage.ulp_histogram},
                     {"golden", specials_json(stage.golden)},
                     {"candidate", specials_json(stage.candidate)}};
    if (stage.forced)
      json["forced"] = {{"compared", stage.forced->compared}, {"outside", stage.forced->outside}};
    if (stage.bounded) json["bounded"] = *stage.bounded;
    if (stage.unlikely) json["unlikely"] = *stage.unlikely;
    if (!stage.doubts.empty()) json["doubts"] = doubts_json(stage.doubts);
    if (stage.first) json["first"] = difference_json(*stage.first);
    if (stage.worst) json["worst"] = difference_json(*stage.worst);
    stages.push_back(std::move(json));
  }
  files::Json tiles = files::Json::array();
  for (const TileError& tile : report.outputs.tiles)
    if (tile.differing > 0)
      tiles.push_back({{"batch", tile.batch},
                       {"head", tile.head},
                       {"tile", tile.tile},
                       {"compared", tile.compared},
                       {"differing", tile.differing},
                       {"outside", tile.outside}});
  files::Json truth;
  if (const OutputErrors& o = report.outputs; o.truth_rows > 0)
    truth = {{"rows", o.truth_rows},
             {"golden", json_number(std::sqrt(o.golden_squared / o.truth_squared))},
             {"candidate", json_number(std::sqrt(o.candidate_squared / o.truth_squared))}};
  const StageReport* first = report.first_difference();
  files::Json json{{"golden", golden.subject()},
                   {"candidate", candidate.subject()},
                   {"passed", report.passed},
                   {"verdict", outcome_name(report)},
                   {"free", freedom_json(report.freedom)},
                   {"first_difference", first ? files::Json(first->stage) : files::Json()},
                   {"stages", std::move(stages)},
                   {"tiles", std::move(tiles)},
                   {"truth", std::move(truth)},
                   {"evidence", evidence_json(golden.recipe())}};
  for (const GradientError& each : report.gradients) {
    const auto side = [&](const GradientError::Side& of) {
      return files::Json{{"relative_l2", json_number(std::sqrt(of.error / each.truth))},
                         {"cosine", json_number(of.cosine(each.truth))}};
    };
    json["gradients"].push_back({{"stage", each.stage},
                                 {"rows", each.rows},
                                 {"golden", side(each.golden)},
                                 {"candidate", side(each.candidate)}});
  }
  return json;
}

}  // namespace karat::golden
