// karat check and karat diagnose: what is to be said of a candidate beside a golden file.
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/diagnose_report.hpp"
#include "karat/golden/request.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

constexpr std::size_t kReported = 5;  ///< enough for a terminal

/// "b,h,block"; "*" leaves a place open, missing places are open too.
golden::Selection parse_selection(std::string_view text) {
  golden::Selection select;
  if (text.empty()) return select;
  const auto places = split(text, ',');
  if (places.size() > 3)
    throw Error(ErrorKind::usage, "--select", "takes at most three numbers",
                "give batch,head,query block; * for all");
  const auto read = [&](std::size_t place, auto& target) {
    if (place >= places.size() || places[place] == "*") return;
    target = parse_integer(places[place], "--select", 0);
  };
  read(0, select.batch);
  read(1, select.head);
  read(2, select.block);
  return select;
}

template <typename Options>
void declare_judging(CommandLine& line, std::span<const files::RequestField<Options>> own) {
  line.add({{"golden", "golden file"},
            {"candidate", "safetensors or HDF5 with stages by name, npy with o, or a golden file"},
            {"select", "batch,head,query block; * for all"}});
  add_options(line, golden::candidate_fields<Options>());
  add_options(line, own);
}

template <typename Options>
void read(const cxxopts::ParseResult& given, std::span<const files::RequestField<Options>> own,
          Options& options) {
  options.select = parse_selection(text_of(given, "select").value_or(""));
  read_options(given, golden::candidate_fields<Options>(), options);
  read_options(given, own, options);
}

/// A candidate beside its golden file.
struct Judged {
  explicit Judged(const cxxopts::ParseResult& given)
      : name(required(given, "candidate")),
        golden(required(given, "golden")),
        candidate(cases::TensorSource::open(name)) {}

  std::string name;
  golden::GoldenFile golden;
  std::unique_ptr<cases::TensorSource> candidate;
};

}  // namespace

int run_check(int argc, char** argv) {
  CommandLine line("check", "Compare a candidate with a golden file, stage by stage.",
                   {"golden", "candidate"});
  declare_judging(line, golden::check_fields());
  line.add({{"html", "also write a page with heat maps here"}});
  line.note(
      "exit code 0: every stage equal, or no farther than legal kernels lie;\n"
      "1: a stage differs or is undecided.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  golden::CheckOptions options;
  read(*given, golden::check_fields(), options);
  NothingHalfWritten reading;
  const Judged judged(*given);
  golden::CheckReport report;
  {
    Progress bar("heads", narration(*given));
    options.progress = bar.callback();
    report = golden::check(judged.golden, *judged.candidate, options);
  }
  reading.over();
  if (const auto page = text_of(*given, "html"))
    files::write_file(*page, std::string_view(to_page(report, judged.golden, *judged.candidate)));
  if (given->count("json") > 0)
    print_json("check", 1, to_json(report, judged.golden, *judged.candidate));
  else
    std::cout << to_text(report, judged.golden, *judged.candidate, painted)
              << next_text(report, judged.golden, *judged.candidate);
  return report.passed ? match : mismatch;
}

int run_diagnose(int argc, char** argv) {
  CommandLine line("diagnose", "Find the recipe edit or coding mistake that explains a candidate.",
                   {"golden", "candidate"});
  declare_judging(line, golden::diagnose_fields());
  line.note(
      "exit code 0: the candidate matches, nothing to diagnose; 1: it differs or is undecided.\n"
      "--most is " +
      std::to_string(kReported) + " unless given.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  golden::DiagnoseOptions options{.reported = kReported};
  read(*given, golden::diagnose_fields(), options);
  const NothingHalfWritten reading;
  const Judged judged(*given);
  const Stopwatch watch;
  golden::Diagnosis diagnosis;
  {
    Progress bar("hypotheses", narration(*given));
    options.progress = bar.callback();
    diagnosis = golden::diagnose(judged.golden, *judged.candidate, options);
  }
  const std::string &golden = judged.golden.subject(), &candidate = judged.candidate->subject();
  if (given->count("json") > 0)
    print_json("diagnose", 1, to_json(diagnosis, golden, candidate, watch.seconds()));
  else
    std::cout << to_text(diagnosis, golden, candidate, painted);
  return diagnosis.matches ? match : mismatch;
}

}  // namespace karat::cli
