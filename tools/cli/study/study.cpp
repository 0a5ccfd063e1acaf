// karat study: what FP8 and sparsity cost, apart and together, cell by cell.
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/study/loop.hpp"
#include "karat/study/page.hpp"
#include "karat/study/report.hpp"
#include "karat/study/request.hpp"
#include "karat/study/run.hpp"
#include "options.hpp"
#include "version.hpp"

namespace karat::cli {
namespace {

using study::StudyResult;

/// The finished result of this very study, if it stands under the name.
std::optional<StudyResult> finished(const std::string& out, const study::StudyIdentity& identity) {
  if (files::standing(out) != files::Standing::file) return std::nullopt;
  try {
    StudyResult result = study::read_study(out);
    if (result.identity.sha256 == identity.sha256) return result;
  } catch (const Error&) {
    // some other file: it is replaced, as every output is
  }
  return std::nullopt;
}

void declare_study(CommandLine& line) {
  add_options(line, study::cells_fields(), "Cells");
  add_options(line, study::study_fields(), "Measuring");
  line.add({{"plan", "write which cells and query tiles of a model to save, and stop"}}, "Plan");
  add_options(line, study::plan_fields(), "Plan");
  line.add(
      {{"loop", "a study that karat.loop made of whole runs: report it (--html, --csv, --table)"}},
      "Whole runs");
  line.add({{"o,out", "the result, HDF5"},
            {"csv", "the sensitivity table, which karat tune reads"},
            {"table", "the same as JSON"},
            {"figures", "every figure as CSV"},
            {"html", "the report, one HTML file"},
            kMarkdown},
           "Output");
  line.note("A study that is stopped continues when the same command is given again.");
}

study::StudyRequest study_request(const cxxopts::ParseResult& given) {
  study::StudyRequest asked;
  if (given.count("capture") > 0) refuse_beside(given, "capture", study::cells_fields());
  // the sensitivity table is of outputs: it is what a schedule of inference is tuned by
  if (given.count("backward") > 0) refuse_beside(given, "backward", {"csv", "table"});
  read_options(given, study::cells_fields(), asked.cells);
  read_options(given, study::study_fields(), asked);
  return asked;
}

int write_plan(const cxxopts::ParseResult& given, const std::string& path, Narration narration) {
  refuse_beside(given, "plan",
                {"capture",      "grid",    "channels", "steps", "layers",  "heads", "head-kind",
                 "network-seed", "recipes", "ladder",   "sweep", "rows",    "draws", "quick",
                 "backward",     "out",     "csv",      "table", "figures", "html"});
  const study::StudyRequest asked = study_request(given);
  capture::PlanSpec spec;
  if (given.count("model") > 0) spec.model = asked.cells.model;
  spec.resolution = asked.cells.resolution.value_or("");
  spec.prompts = asked.cells.prompts.value_or(spec.prompts);
  if (asked.cells.conditional_only) spec.branches = {video::Branch::conditional};
  spec.seed = asked.seed;
  read_options(given, study::plan_fields(), spec);
  const files::Json plan = capture::make_plan(spec);
  files::write_json(path, plan);
  say(narration, "wrote " + path + ": " + std::to_string(plan["cells"].size()) +
                     " cells a prompt, " + short_number(plan["bytes_per_prompt"].get<double>()) +
                     "B a prompt");
  if (given.count("json") > 0) std::cout << files::format_json(plan);
  return match;
}

/// What karat.loop recorded, reported.
int report_loop(const cxxopts::ParseResult& given, const std::string& path,
                const report::Provenance& made_by) {
  refuse_beside(given, "loop", study::cells_fields());
  refuse_beside(given, "loop", study::study_fields());
  refuse_beside(given, "loop", {"out", "figures", "plan"});
  NothingHalfWritten reading;
  const study::LoopStudy loop = study::read_loop(path);
  const auto csv = text_of(given, "csv"), table = text_of(given, "table"),
             html = text_of(given, "html");
  const std::string page = html ? study::html_page(loop, made_by) : "";
  std::optional<study::SensitivityTable> errors;
  if (csv || table) errors = study::sensitivity(loop, path);
  const files::Json fields = to_json(loop);
  const std::string text = to_text(loop, table_style(given));
  reading.over();
  if (csv) files::write_file(*csv, study::sensitivity_csv(*errors));
  if (table) files::write_json(*table, study::sensitivity_json(*errors));
  if (html) files::write_file(*html, page);
  if (given.count("json") > 0) {
    files::Json answer{{"file", path}};
    answer.update(fields);
    print_json("loop_report", 1, answer);
  } else {
    std::cout << text;
  }
  return match;
}

StudyResult measured(const study::ChosenStudy& choice, int threads, const std::string& out,
                     Narration narration) {
  const study::StudyIdentity identity =
      study::identity_of(*choice.source, choice.recipes, choice.options);
  if (auto result = finished(out, identity)) {
    say(narration, out + " holds this study already");
    return *result;
  }
  const study::Workbench bench(*choice.source, choice.recipes, choice.options);
  study::Journal journal(out + ".journal", identity);
  const std::size_t jobs = choice.source->facts().jobs.size(), kept = journal.finished().size();
  if (kept > 0)
    say(narration, "continuing: " + std::to_string(kept) + " of " + std::to_string(jobs) +
                       " cells are in " + out + ".journal");
  StudyResult result;
  {
    Progress bar("study", narration, static_cast<double>(jobs), "cells");
    result = study::run(*choice.source, bench, identity, journal,
                        {.threads = threads, .progress = bar.callback()});
  }
  study::write_study(out, result);
  journal.remove();
  return result;
}

}  // namespace

int run_study(int argc, char** argv) {
  CommandLine line("study",
                   "Measure what FP8 and sparsity cost, apart and together, cell by cell.");
  declare_study(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  if (const auto plan = text_of(*given, "plan")) return write_plan(*given, *plan, narration);
  if (const auto loop = text_of(*given, "loop"))
    return report_loop(*given, *loop, {typed(argc, argv), KARAT_VERSION});
  for (const auto& field : study::plan_fields())
    if (given->count(option_name(field)) > 0)
      throw Error(ErrorKind::usage, "--" + option_name(field), "says nothing without --plan",
                  "leave it out");
  (void)table_style(*given);  // refused before the work, not after it
  const study::StudyRequest asked = study_request(*given);
  const study::ChosenStudy choice = study::choose_study(asked);
  const std::string out = required(*given, "out");
  const Stopwatch watch;
  const StudyResult result = measured(choice, asked.threads, out, narration);
  if (const auto csv = text_of(*given, "csv"))
    files::write_file(*csv, study::sensitivity_csv(study::sensitivity(result)));
  if (const auto table = text_of(*given, "table"))
    files::write_json(*table, study::sensitivity_json(study::sensitivity(result)));
  if (const auto figures = text_of(*given, "figures"))
    files::write_file(*figures, study::figures_csv(result));
  NothingHalfWritten summarising;
  const study::Summary summary = study::summarise(result);
  summarising.over();
  if (const auto html = text_of(*given, "html"))
    files::write_file(*html, study::html_page(result, summary, {typed(argc, argv), KARAT_VERSION}));
  say(narration, "wrote " + out + ": " + std::to_string(result.jobs.size()) + " cells in " +
                     short_time(watch.seconds()));
  if (given->count("json") > 0) {
    files::Json answer{{"file", out}};
    answer.update(to_json(result, summary));
    print_json("study", 1, answer);
  } else {
    std::cout << to_text(result, summary, table_style(*given));
  }
  return match;
}

}  // namespace karat::cli
