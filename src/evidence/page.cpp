// The report as JSON and as one self-contained page.
#include <nlohmann/json.hpp>

#include "karat/evidence/evidence.hpp"
#include "karat/report/html.hpp"

namespace karat::evidence {
namespace {

/// In the order of Origin.
constexpr std::string_view kOrigins[] = {
    "Words written by a GPU", "Rows captured on GPUs and published by others",
    "Words written by the emulator itself: no evidence on silicon"};

std::string verdict_of(const Finding& finding) {
  if (finding.rows == 0) return "open";
  return finding.equal == finding.rows ? "equal" : "differs";
}

std::string remarks(const Finding& finding) {
  const std::string difference = finding.first_difference();
  return difference + (difference.empty() || finding.note.empty() ? "" : " ") + finding.note;
}

}  // namespace

nlohmann::ordered_json to_json(const Report& report) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : report.findings) {
    nlohmann::ordered_json entry;
    entry["instruction"] = finding.instruction;
    entry["rows"] = finding.rows;
    entry["equal"] = finding.equal;
    if (const std::string difference = finding.first_difference(); !difference.empty())
      entry["first_difference"] = difference;
    if (!finding.note.empty()) entry["note"] = finding.note;
    entry["parts"] = nlohmann::ordered_json::array();
    for (const Part& part : finding.parts)
      entry["parts"].push_back(
          {{"file", part.file}, {"what", part.what}, {"rows", part.rows}, {"equal", part.equal}});
    list.push_back(std::move(entry));
  }
  return list;
}

std::string to_html(const Report& captured) {
  using Cells = std::vector<std::string>;
  report::HtmlPage page("Captured words against the emulator",
                        kOrigins[static_cast<std::size_t>(captured.origin)]);
  std::vector<Cells> machine, findings, parts, timings;
  for (const auto& [key, value] : captured.machine) machine.push_back({key, value});
  for (const Finding& finding : captured.findings) {
    findings.push_back({finding.instruction, std::to_string(finding.rows),
                        std::to_string(finding.equal), verdict_of(finding), remarks(finding)});
    for (const Part& part : finding.parts)
      parts.push_back({finding.instruction, part.what, std::to_string(part.rows),
                       std::to_string(part.equal), part.file});
  }
  for (const Timing& timing : captured.timings)
    timings.push_back({timing.name, nlohmann::json(timing.value).dump(), timing.unit});
  page.table(Cells{"machine", ""}, machine);
  page.table(Cells{"instruction", "rows", "equal", "verdict",
                   "first difference, or what the comparison rests on"},
             findings);
  page.heading("Parts");
  page.table(Cells{"instruction", "part", "rows", "equal", "file"}, parts);
  if (!timings.empty()) {
    page.heading("Timings");
    page.table(Cells{"what", "value", "unit"}, timings);
  }
  return page.str();
}

}  // namespace karat::evidence
