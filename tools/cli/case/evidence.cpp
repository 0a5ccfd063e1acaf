// Implementation of case/evidence.hpp.
#include "case/evidence.hpp"

namespace karat::cli {

void say_evidence(Narration narration, const recipe::Recipe& recipe) {
  for (const recipe::InstructionEvidence& each : evidence_of(recipe))
    say(narration,
        each.instruction + ": " + std::string(each.evidence) + "; " + std::string(each.note));
}

}  // namespace karat::cli
