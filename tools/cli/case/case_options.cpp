// Implementation of case/case_options.hpp.
#include "case/case_options.hpp"

namespace karat::cli {

void add_case_options(CommandLine& line) {
  add_options(line, cases::case_fields(), "Case");
  add_options(line, cases::token_fields(), "Case");
  add_options(line, cases::workload_fields(), "Case");
}

cases::CaseRequest read_case(const cxxopts::ParseResult& given) {
  if (given.count("in") > 0) refuse_beside(given, "in", cases::workload_fields());
  cases::CaseRequest asked;
  read_options(given, cases::case_fields(), asked);
  read_options(given, cases::token_fields(), asked.workload);
  read_options(given, cases::workload_fields(), asked.workload);
  return asked;
}

void say_evidence(Narration narration, const recipe::Recipe& recipe) {
  for (const recipe::InstructionEvidence& each : evidence_of(recipe))
    say(narration,
        each.instruction + ": " + std::string(each.evidence) + "; " + std::string(each.note));
}

}  // namespace karat::cli
