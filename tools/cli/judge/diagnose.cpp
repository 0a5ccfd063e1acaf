// karat diagnose: which kernel would have produced these bits?
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "interrupt.hpp"
#include "judge/check_options.hpp"
#include "karat/golden/diagnose_report.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

constexpr std::size_t kReported = 5;  ///< enough for a terminal

void declare(CommandLine& line) {
  add_candidate_options<golden::DiagnoseOptions>(line);
  add_options(line, golden::diagnose_fields());
  line.note(
      "exit code 0: the candidate matches, nothing to diagnose; 1: it differs or is undecided.\n"
      "--most is " +
      std::to_string(kReported) + " unless given.");
}

}  // namespace

int run_diagnose(int argc, char** argv) {
  CommandLine line("diagnose", "Find the recipe edit or coding mistake that explains a candidate.",
                   {"golden", "candidate"});
  declare(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  golden::DiagnoseOptions options{.reported = kReported};
  read_candidate_options(*given, options);
  read_options(*given, golden::diagnose_fields(), options);
  const std::string candidate_name = required(*given, "candidate");
  const NothingHalfWritten reading;
  const golden::GoldenFile golden(required(*given, "golden"));
  const auto candidate = cases::TensorSource::open(candidate_name);
  const Stopwatch watch;
  golden::Diagnosis diagnosis;
  {
    Progress bar("hypotheses", narration(*given));
    options.progress = bar.callback();
    diagnosis = golden::diagnose(golden, *candidate, options);
  }
  const std::string golden_name = golden.subject();
  if (given->count("json") > 0)
    print_json("diagnose", 1,
               to_json(diagnosis, golden_name, candidate->subject(), watch.seconds()));
  else
    std::cout << to_text(diagnosis, golden_name, candidate->subject(), painted);
  return diagnosis.matches ? match : mismatch;
}

}  // namespace karat::cli
