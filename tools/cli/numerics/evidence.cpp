// karat evidence: a capture of GPU instructions, or published rows, against the emulator.
#include "karat/evidence/evidence.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/paths.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

/// A row per instruction; below them what there is to say of one.
void print_table(const evidence::Report& report, report::TableStyle style) {
  report::Table table{.columns = {{"instruction"},
                                  {"rows", report::Align::right},
                                  {"equal", report::Align::right},
                                  {""}},
                      .rows = {}};
  std::string remarks;
  for (const evidence::Finding& finding : report.findings) {
    const bool open = finding.rows == 0, equal = finding.rows == finding.equal;
    table.rows.push_back({finding.instruction, std::to_string(finding.rows),
                          std::to_string(finding.equal),
                          open    ? painted("open", Tone::faint)
                          : equal ? painted("equal", Tone::good)
                                  : painted("differs", Tone::bad)});
    if (const std::string difference = finding.first_difference(); !difference.empty())
      remarks += finding.instruction + ": first difference: " + difference + "\n";
    if (!finding.note.empty()) remarks += finding.instruction + ": " + finding.note + "\n";
  }
  std::cout << report::to_text(table, style) << remarks;
  if (report.origin == evidence::Origin::emulator)
    std::cout << "These words were written by the emulator itself: they prove the path, nothing "
                 "about silicon.\n";
}

void write_tables(const evidence::Report& report, const std::filesystem::path& folder) {
  if (!report.ex2 && !report.rcp)
    throw Error(ErrorKind::input_output, folder.string(), "no octave here is reproduced by a table",
                "capture ex2 and rcp with tools/hopper/capture.sh");
  files::make_folder(folder);
  const std::string origin = report.origin == evidence::Origin::hardware ? "hardware" : "emulator";
  const auto write = [&](const char* name, const std::optional<evidence::QuadraticTable>& table) {
    if (!table) return;
    nlohmann::ordered_json json = evidence::to_json(*table);
    json["origin"] = origin;
    for (const auto& [key, value] : report.machine)
      if (key == "gpu" || key == "driver") json[key] = value;
    files::write_json(folder / name, json);
  };
  write("ex2.json", report.ex2);
  write("rcp.json", report.rcp);
}

int emulate(const cxxopts::ParseResult& given, Narration narration) {
  evidence::EmulateOptions options{
      .seed = seed_of(given, 1),
      .tiles = static_cast<std::uint32_t>(whole(given, "tiles", 2048, 1, 1 << 20)),
      .sweep_step = static_cast<std::uint32_t>(whole(given, "sweep-step", 1, 1, 4096)),
      .threads = whole(given, "threads", 0, 0, 1024)};
  const std::string folder = given["emulate"].as<std::string>();
  {
    Progress bar("emulate", narration, 0, "steps");
    options.progress = bar.callback();
    evidence::emulate_capture(folder, options);
  }
  say(narration, "wrote " + folder + ", by the emulator; next: karat evidence " + folder);
  return match;
}

}  // namespace

int run_evidence(int argc, char** argv) {
  CommandLine line("evidence", "Compare a capture of GPU instructions with the emulator.",
                   {"folder"});
  line.add(
      {{"folder", "what tools/hopper/capture.sh wrote, or a folder of published rows"},
       {"html", "write the report as a page"},
       {"tables", "write coefficient tables that reproduce the captured octaves to this folder"},
       {"emulate", "write a synthetic capture to this folder instead"},
       {"seed", "of the synthetic capture", Takes::text, "1"},
       {"tiles", "of 512 cases each per instruction of the synthetic capture", Takes::text, "2048"},
       {"sweep-step", "the synthetic capture sweeps every n-th block of 2^20 inputs", Takes::text,
        "1"},
       {"threads", "0: all the machine offers", Takes::text, "0"},
       kMarkdown});
  line.note(
      "--json prints a list of {instruction, rows, equal, ...}.\n"
      "Exit code 0 when all rows are equal, 1 when some differ.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const report::TableStyle style = table_style(*given);
  if (given->count("emulate") > 0) return emulate(*given, narration);

  const evidence::Options options{
      .threads = whole(*given, "threads", 0, 0, 1024),
      .progress = [&](const std::string& file) { say(narration, file); }};
  const auto tables = text_of(*given, "tables");
  if (tables && files::standing(*tables) != files::Standing::nothing)
    files::require_folder(*tables);  // said before the work, not after it
  const evidence::Report report = [&] {
    const NothingHalfWritten guard;
    return evidence::examine(required(*given, "folder"), options);
  }();
  if (const auto page = text_of(*given, "html"))
    files::write_file(*page, std::string_view(evidence::to_html(report)));
  if (tables) write_tables(report, *tables);
  if (given->count("json") > 0)
    std::cout << files::format_json(evidence::to_json(report));
  else
    print_table(report, style);
  return report.all_equal() ? match : mismatch;
}

}  // namespace karat::cli
