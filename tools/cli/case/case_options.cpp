// Implementation of case/case_options.hpp.
#include "case/case_options.hpp"

namespace karat::cli {

void add_case_options(CommandLine& line) {
  add_options(line, cases::case_fields(), "Case");
  add_options(line, cases::token_fields(), "Case");
  add_options(line, cases::workload_fields(), "Case");
  line.add({kVerbose});
}

cases::CaseRequest read_case(const cxxopts::ParseResult& given) {
  if (given.count("in") > 0) refuse_beside(given, "in", cases::workload_fields());
  cases::CaseRequest asked;
  read_options(given, cases::case_fields(), asked);
  read_options(given, cases::token_fields(), asked.workload);
  read_options(given, cases::workload_fields(), asked.workload);
  return asked;
}

void add_backward_taps(CommandLine& line) {
  line.add(
      {{"dq-tap", "query blocks of the backward alone: all, none or a list; what --tap says"},
       {"dkv-tap",
        "key blocks of the backward: all, none or a list; what --tap says, four beside a list"}},
      "Output");
}

cases::TapWords read_taps(const cxxopts::ParseResult& given, std::string forward) {
  for (const char* name : {"dq-tap", "dkv-tap"})
    if (given.count(name) > 0 && given.count("backward") == 0)
      throw Error(ErrorKind::usage, std::string("--") + name, "says nothing without --backward",
                  "give --backward too");
  return {.forward = std::move(forward),
          .dq = text_of(given, "dq-tap"),
          .dkv = text_of(given, "dkv-tap")};
}

void say_evidence(Narration narration, const recipe::Recipe& recipe) {
  for (const recipe::InstructionEvidence& each : evidence_of(recipe))
    say(narration,
        each.instruction + ": " + std::string(each.evidence) + "; " + std::string(each.note));
}

}  // namespace karat::cli
