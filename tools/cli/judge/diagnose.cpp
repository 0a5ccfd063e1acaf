// karat diagnose: which kernel would have produced these bits?
#include "karat/golden/diagnose.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "judge/check_options.hpp"
#include "command.hpp"
#include "commands.hpp"
#include "judge/diagnose_report.hpp"
#include "terminal.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

constexpr Named<golden::Alarm> kAlarms[] = {{"outside", golden::Alarm::outside},
                                            {"any-bit", golden::Alarm::any_bit}};

}  // namespace

int run_diagnose(int argc, char** argv) {
  using cxxopts::value;
  CommandLine line("diagnose", "Find the recipe edit or coding mistake that explains a candidate.",
                   {"golden", "candidate"});
  add_check_options(line);
  line.add()("alarm", "what counts as a difference: outside (what no correct kernel writes) or any-bit",
             value<std::string>()->default_value("outside"))(
      "blocks", "query blocks to sample", value<std::string>()->default_value("4"))(
      "most", "hypotheses to print", value<std::string>()->default_value("5"));
  line.note("exit code 0: the candidate matches, nothing to diagnose; 1: it differs.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = given->count("quiet") > 0 ? Narration::quiet : Narration::spoken;
  const std::string candidate_name = required(*given, "candidate");
  const golden::CheckOptions check = check_options(*given);
  golden::DiagnoseOptions options{
      .layout = check.layout,
      .order = check.order,
      .select = check.select,
      .alarm = parse_choice((*given)["alarm"].as<std::string>(), "--alarm", kAlarms),
      .threads = check.threads,
      .query_blocks = static_cast<int>(
          parse_integer((*given)["blocks"].as<std::string>(), "--blocks", 1, 64)),
      .reported = static_cast<std::size_t>(
          parse_integer((*given)["most"].as<std::string>(), "--most", 1, 1000)),
      .progress = {}};
  const golden::GoldenFile golden(required(*given, "golden"));
  const auto candidate = cases::TensorSource::open(candidate_name);
  const Stopwatch watch;
  golden::Diagnosis diagnosis;
  {
    Progress bar("hypotheses", narration);
    options.progress = bar.callback();
    diagnosis = golden::diagnose(golden, *candidate, options);
  }
  if (given->count("json") > 0)
    print_json("diagnose", 1,
               diagnosis_json(diagnosis, golden.subject(), candidate->subject(), watch.seconds()));
  else
    std::cout << diagnosis_text(diagnosis, golden.subject(), candidate->subject());
  return diagnosis.matches ? match : mismatch;
}

}  // namespace karat::cli
