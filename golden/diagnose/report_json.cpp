// A diagnosis with the fields that docs/json.md lists.
#include <nlohmann/json.hpp>

#include "karat/golden/diagnose_report.hpp"

namespace karat::golden {

files::Json to_json(const Diagnosis& diagnosis, const std::string& golden,
                    const std::string& candidate, double seconds) {
  const auto value_json = [](const recipe::Value& value) {
    return files::Json::parse(recipe::to_text(value));
  };
  files::Json hypotheses = files::Json::array();
  for (const Explanation& explanation : diagnosis.hypotheses) {
    files::Json json{{"explained", explanation.explained},
                     {"agreed", explanation.agreed},
                     {"equal", explanation.equal},
                     {"distance", explanation.distance},
                     {"accounts", explanation.accounts},
                     {"look_for", explanation.look_for},
                     {"same_bits", explanation.same_bits},
                     {"as_good", explanation.as_good},
                     {"gain", explanation.gain},
                     {"confirmed", explanation.confirmed},
                     {"blocks_explained", explanation.blocks_explained},
                     {"blocks_refuted", explanation.blocks_refuted}};
    if (!explanation.edits.empty()) {
      json["edits"] = files::Json::array();
      for (const FieldEdit& edit : explanation.edits)
        json["edits"].push_back({{"field", edit.field},
                                 {"golden", value_json(edit.golden)},
                                 {"candidate", value_json(edit.candidate)}});
    }
    if (!explanation.mistakes.empty()) {
      json["mistake"] = explanation.mistakes.front();
      json["mistakes"] = explanation.mistakes;
    }
    json["stages"] = files::Json::array();
    for (const StageEvidence& stage : explanation.stages)
      json["stages"].push_back({{"stage", stage.stage},
                                {"compared", stage.compared},
                                {"differing", stage.differing},
                                {"explained", stage.explained},
                                {"equal", stage.equal}});
    hypotheses.push_back(std::move(json));
  }
  return {{"golden", golden},
          {"candidate", candidate},
          {"matches", diagnosis.matches},
          {"explained", diagnosis.explained},
          {"answer", diagnosis.matches     ? "matches"
                     : diagnosis.explained ? "named"
                                           : "no hypothesis"},
          {"batch", diagnosis.batch},
          {"head", diagnosis.head},
          {"query_blocks", diagnosis.query_blocks},
          {"confirming_blocks", diagnosis.confirming_blocks},
          {"remark", diagnosis.remark},
          {"tried", diagnosis.tried},
          {"invisible", diagnosis.invisible},
          {"seconds", seconds},
          {"hypotheses", std::move(hypotheses)}};
}

}  // namespace karat::golden
