// Implementation of recipe/evidence.hpp.
#include "karat/recipe/evidence.hpp"

#include <nlohmann/json.hpp>
#include <set>

namespace karat::recipe {

std::string_view evidence_name(numerics::Evidence evidence) {
  switch (evidence) {
    case numerics::Evidence::hardware_rows:
      return "hardware_rows";
    case numerics::Evidence::model_only:
      return "model_only";
    case numerics::Evidence::definition:
      break;
  }
  return "definition";
}

std::vector<InstructionEvidence> evidence_of(const Recipe& recipe) {
  std::vector<InstructionEvidence> list;
  std::set names{recipe.qk.instruction, recipe.pv.instruction};
  const Backward& b = recipe.backward;
  if (b.exists()) names.insert({b.dp, b.dv, b.dq, b.dk});
  if (b.exists() && b.scores == BackwardScores::operands) names.insert(b.s);
  for (const std::string& name : names) {
    const numerics::Instruction& instruction = numerics::instruction(name);
    list.push_back({name, evidence_name(evidence(instruction)), evidence_note(instruction)});
  }
  return list;
}

files::Json evidence_json(const Recipe& recipe) {
  files::Json list = files::Json::array();
  for (const InstructionEvidence& each : evidence_of(recipe))
    list.push_back(
        {{"instruction", each.instruction}, {"evidence", each.evidence}, {"note", each.note}});
  return list;
}

}  // namespace karat::recipe
