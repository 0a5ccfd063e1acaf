// karat check: the verdict on a candidate, stage by stage.
#include "karat/golden/check.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "commands.hpp"
#include "judge/check_freedom.hpp"
#include "judge/check_html.hpp"
#include "judge/check_options.hpp"
#include "judge/check_report.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/numerics/base/split.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

/// Names separated by commas.
bounds::Freedom parse_freedom(std::string_view text) {
  bounds::Freedom freedom;
  for (const std::string& item : numerics::words(text)) allow(freedom, item, "--allow");
  return freedom;
}

}  // namespace

int run_check(int argc, char** argv) {
  CommandLine line("check", "Compare a candidate with a golden file, stage by stage.",
                   {"golden", "candidate"});
  add_check_options(line);
  line.add()("allow",
             "more than exp2 is free: order (of the row sum and of f32.fma's P V), contraction "
             "(fused multiply-adds), reciprocal (1/l within 1 ulp); separated by commas",
             cxxopts::value<std::string>()->default_value(""));
  line.add()("v-layout", "of v and v_codes, where it differs: BHSD, BSHD or BHDS (transposed)",
             cxxopts::value<std::string>());
  line.add()("html", "also write a page with heat maps here", cxxopts::value<std::string>());
  line.note("exit code 0: every stage equal or within what the recipe leaves free; 1: not.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  golden::CheckOptions options = check_options(*given);
  if (const auto layout = text_of(*given, "v-layout"))
    options.v_layout = parse_v_layout(*layout, "--v-layout");
  options.allowed = parse_freedom((*given)["allow"].as<std::string>());
  const std::string candidate_name = required(*given, "candidate");
  const golden::GoldenFile golden(required(*given, "golden"));
  const auto candidate = cases::TensorSource::open(candidate_name);
  golden::CheckReport report;
  {
    Progress bar("heads", given->count("quiet") > 0 ? Narration::quiet : Narration::spoken);
    options.progress = bar.callback();
    report = golden::check(golden, *candidate, options);
  }
  if (const auto page = text_of(*given, "html")) {
    const std::string html = check_html(report, golden, *candidate);
    files::write_file(*page, std::string_view(html));
  }
  if (given->count("json") > 0)
    print_json("check", 1, check_json(report, golden, *candidate));
  else
    std::cout << check_text(report, golden, *candidate);
  return report.passed ? match : mismatch;
}

}  // namespace karat::cli
