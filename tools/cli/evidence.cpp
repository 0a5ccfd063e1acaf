// Both instructions of a recipe, once each.
#include "evidence.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "karat/golden/evidence.hpp"

namespace karat::cli {
namespace {

std::set<std::string> names(const recipe::Recipe& recipe) {
  return {recipe.qk.instruction, recipe.pv.instruction};
}

}  // namespace

void say_evidence(Narration narration, const recipe::Recipe& recipe) {
  for (const std::string& name : names(recipe)) {
    const numerics::Instruction& instruction = numerics::instruction(name);
    say(narration, name + ": " + std::string(golden::evidence_name(numerics::evidence(instruction))) +
                       "; " + std::string(numerics::evidence_note(instruction)));
  }
}

files::Json evidence_json(const recipe::Recipe& recipe) {
  files::Json list = files::Json::array();
  for (const std::string& name : names(recipe)) {
    const numerics::Instruction& instruction = numerics::instruction(name);
    list.push_back({{"instruction", name},
                    {"evidence", golden::evidence_name(numerics::evidence(instruction))},
                    {"note", numerics::evidence_note(instruction)}});
  }
  return list;
}

}  // namespace karat::cli
