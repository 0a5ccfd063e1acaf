// karat check: the verdict on a candidate, stage by stage.
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "interrupt.hpp"
#include "judge/check_options.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/golden/check_report.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

void declare(CommandLine& line) {
  add_candidate_options<golden::CheckOptions>(line);
  add_options(line, golden::check_fields());
  line.add()("html", "also write a page with heat maps here", cxxopts::value<std::string>());
  line.note(
      "exit code 0: every stage equal, or no farther than legal kernels lie;\n"
      "1: a stage differs or is undecided.");
}

}  // namespace

int run_check(int argc, char** argv) {
  CommandLine line("check", "Compare a candidate with a golden file, stage by stage.",
                   {"golden", "candidate"});
  declare(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  golden::CheckOptions options;
  read_candidate_options(*given, options);
  read_options(*given, golden::check_fields(), options);
  const std::string candidate_name = required(*given, "candidate");
  NothingHalfWritten reading;
  const golden::GoldenFile golden(required(*given, "golden"));
  const auto candidate = cases::TensorSource::open(candidate_name);
  golden::CheckReport report;
  {
    Progress bar("heads", narration(*given));
    options.progress = bar.callback();
    report = golden::check(golden, *candidate, options);
  }
  reading.over();
  if (const auto page = text_of(*given, "html"))
    files::write_file(*page, std::string_view(to_page(report, golden, *candidate)));
  if (given->count("json") > 0)
    print_json("check", 1, to_json(report, golden, *candidate));
  else
    std::cout << to_text(report, golden, *candidate, painted);
  return report.passed ? match : mismatch;
}

}  // namespace karat::cli
