// What a recipe's instructions rest on, told while a case is computed.
#pragma once

#include "karat/recipe/evidence.hpp"
#include "terminal.hpp"

namespace karat::cli {

/// One line per distinct instruction: "hopper.wgmma.e4m3.f32: hardware_rows; ...".
void say_evidence(Narration narration, const recipe::Recipe& recipe);

}  // namespace karat::cli
