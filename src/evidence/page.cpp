// The report as JSON and as one self-contained page.
#include <nlohmann/json.hpp>

#include "karat/evidence/evidence.hpp"

namespace karat::evidence {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string_view origin_text(Origin origin) {
  switch (origin) {
    case Origin::hardware:
      return "Words written by a GPU";
    case Origin::public_rows:
      return "Rows captured on GPUs and published by others";
    case Origin::emulator:
      return "Words written by the emulator itself: no evidence on silicon";
  }
  return "";
}

std::string cell(std::string_view tag, std::string_view text) {
  return "<" + std::string(tag) + ">" + escaped(text) + "</" + std::string(tag) + ">";
}

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>karat evidence</title>
<style>
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
th,td{text-align:left;padding:.25em .8em;border-bottom:1px solid #ddd;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums}
.equal{color:#136c2e}.differs{color:#a3150b;font-weight:600}.open{color:#777}
code{font-size:90%;overflow-wrap:anywhere}
</style>
)";

std::string finding_row(const Finding& finding) {
  const bool compared = finding.rows > 0;
  const bool equal = finding.equal == finding.rows;
  const std::string verdict = !compared ? "open" : equal ? "equal" : "differs";
  std::string row = "<tr><td><code>" + escaped(finding.instruction) + "</code></td><td class=n>" +
                    std::to_string(finding.rows) + "</td><td class=n>" +
                    std::to_string(finding.equal) + "</td><td class=" + verdict + ">" + verdict +
                    "</td><td>";
  const std::string difference = finding.first_difference();
  if (!difference.empty()) row += "<code>" + escaped(difference) + "</code> ";
  return row + escaped(finding.note) + "</td></tr>\n";
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

std::string to_html(const Report& report) {
  std::string page(kHead);
  page += cell("h1", "Captured words against the emulator");
  page += "<p>" + escaped(origin_text(report.origin)) + ".</p>\n<table>";
  for (const auto& [key, value] : report.machine)
    page += "<tr>" + cell("th", key) + cell("td", value) + "</tr>\n";
  page +=
      "</table>\n<table><tr><th>instruction<th>rows<th>equal<th>verdict<th>first difference, "
      "or what the comparison rests on</tr>\n";
  for (const Finding& finding : report.findings) page += finding_row(finding);
  page +=
      "</table>\n<h2>Parts</h2>\n<table><tr><th>instruction<th>part<th>rows<th>equal<th>file</"
      "tr>\n";
  for (const Finding& finding : report.findings)
    for (const Part& part : finding.parts)
      page += "<tr><td><code>" + escaped(finding.instruction) + "</code></td>" +
              cell("td", part.what) + "<td class=n>" + std::to_string(part.rows) +
              "</td><td class=n>" + std::to_string(part.equal) + "</td><td><code>" +
              escaped(part.file) + "</code></td></tr>\n";
  page += "</table>\n";
  if (!report.timings.empty()) {
    page += "<h2>Timings</h2>\n<table>";
    for (const Timing& timing : report.timings) {
      std::string value = nlohmann::ordered_json(timing.value).dump();
      page += "<tr>" + cell("th", timing.name) + "<td class=n>" + value + "</td>" +
              cell("td", timing.unit) + "</tr>\n";
    }
    page += "</table>\n";
  }
  return page + "</html>\n";
}

}  // namespace karat::evidence
