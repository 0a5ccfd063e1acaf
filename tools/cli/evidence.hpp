// What the recipe's instructions rest on, for people and for JSON.
#pragma once

#include "karat/files/json_file.hpp"
#include "karat/recipe/recipe.hpp"
#include "terminal.hpp"

namespace karat::cli {

/// One line per distinct instruction: "hopper.wgmma.e4m3.f32: equal to hardware rows; ...".
void say_evidence(Narration narration, const recipe::Recipe& recipe);
/// [{"instruction": ..., "evidence": ..., "note": ...}, ...]
files::Json evidence_json(const recipe::Recipe& recipe);

}  // namespace karat::cli
