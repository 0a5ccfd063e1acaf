// What a recipe's instructions rest on: measured hardware rows, a model, or a definition.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// "hardware_rows", "model_only" or "definition": the word files and reports use.
std::string_view evidence_name(numerics::Evidence evidence);

struct InstructionEvidence {
  std::string instruction;
  std::string_view evidence;  ///< evidence_name()
  std::string_view note;      ///< one sentence, with its source
};

/// Each instruction of QK and PV once, sorted by name. @pre both are known to numerics
std::vector<InstructionEvidence> evidence_of(const Recipe& recipe);
/// [{"instruction": ..., "evidence": ..., "note": ...}, ...]
files::Json evidence_json(const Recipe& recipe);

}  // namespace karat::recipe
