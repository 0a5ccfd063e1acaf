// karat check and karat diagnose: what is to be said of a candidate beside a golden file.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "case/case_options.hpp"
#include "interrupt.hpp"
#include "judge/side_by_side.hpp"
#include "karat/files/atomic_file.hpp"
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
  CommandLine line("check", "Compare a candidate, or two, with a golden file, stage by stage.",
                   {"golden", "candidate", "other"});
  declare_judging(line, golden::check_fields());
  line.add({{"other", "a second candidate of the same golden file: both side by side"},
            {"html", "also write a page with heat maps here, of one candidate"},
            kVerbose,
            kMarkdown});
  line.note(
      "exit code 0: every stage equal, or no farther than legal kernels lie, of both where two "
      "are\n"
      "given; 1: a stage differs or is undecided.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  golden::CheckOptions options;
  read(*given, golden::check_fields(), options);
  const report::TableStyle style = table_style(*given);
  const auto other = text_of(*given, "other"), page = text_of(*given, "html");
  if (other && page)
    throw Error(ErrorKind::usage, "--html", "is a page about one candidate",
                "check them one by one for their pages");
  NothingHalfWritten reading;
  Judged judged(*given);
  const golden::GoldenFile& golden = judged.golden;
  std::vector<Checked> candidates;
  candidates.push_back({std::move(judged.candidate), {}});
  if (other) candidates.push_back({cases::TensorSource::open(*other), {}});
  for (Checked& one : candidates) {
    Progress bar("heads", narration(*given));
    options.progress = bar.callback();
    one.report = golden::check(golden, *one.candidate, options);
  }
  reading.over();
  const Checked& first = candidates.front();
  if (page)
    files::write_file(*page, std::string_view(to_page(first.report, golden, *first.candidate)));
  const bool passed =
      std::ranges::all_of(candidates, [](const Checked& one) { return one.report.passed; });
  if (given->count("json") > 0 && other) {
    files::Json body{{"golden", golden.subject()}, {"passed", passed}};
    for (const Checked& one : candidates)
      body["candidates"].push_back(to_json(one.report, golden, *one.candidate));
    print_json("check.pair", 1, body);
  } else if (given->count("json") > 0) {
    print_json("check", 1, to_json(first.report, golden, *first.candidate));
  } else if (other || style == report::TableStyle::markdown) {
    std::cout << side_by_side(candidates, golden, style, painted);
  } else {
    std::cout << to_text(first.report, golden, *first.candidate, painted)
              << next_text(first.report, golden, *first.candidate);
  }
  if (given->count("verbose") > 0) say_evidence(narration(*given), golden.recipe());
  return passed ? match : mismatch;
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
