// Implementation of judge/side_by_side.hpp.
#include "judge/side_by_side.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace karat::cli {
namespace {

using golden::CheckReport;
using golden::StageReport;
using report::Align;
using report::print;

const StageReport* find_stage(const CheckReport& report, const std::string& stage) {
  const auto found = std::ranges::find(report.stages, stage, &StageReport::stage);
  return found == report.stages.end() ? nullptr : &*found;
}

/// Stages that any report has, in the order of the one that has most; what that lacks stands last.
std::vector<std::string> stage_names(std::span<const Checked> candidates) {
  const auto most = std::ranges::max_element(
      candidates, {}, [](const Checked& one) { return one.report.stages.size(); });
  std::vector<std::string> names;
  const auto add = [&](const CheckReport& report) {
    for (const StageReport& stage : report.stages)
      if (std::ranges::find(names, stage.stage) == names.end()) names.push_back(stage.stage);
  };
  add(most->report);
  for (const Checked& one : candidates) add(one.report);
  return names;
}

/// "a", "b", ...
std::string letter(std::size_t candidate) { return {static_cast<char>('a' + candidate)}; }

std::string ulp_text(std::int64_t ulp) {
  return ulp == std::numeric_limits<std::int64_t>::max() ? "NaN" : std::to_string(ulp);
}

std::string error_text(const golden::OutputErrors& outputs) {
  if (outputs.truth_rows == 0 || !(outputs.truth_squared > 0)) return "";
  const auto relative = [&](double squared) {
    return print("%.3e", std::sqrt(squared / outputs.truth_squared));
  };
  return "; error against FP64 " + relative(outputs.candidate_squared) + ", golden " +
         relative(outputs.golden_squared);
}

std::string verdict_line(const Checked& one, const golden::GoldenFile& golden) {
  std::string text = verdict_text(one.report, golden, *one.candidate);
  if (const StageReport* first = one.report.first_difference())
    text += ", first in " + first->stage;
  return text + error_text(one.report.outputs) + "\n";
}

}  // namespace

std::string side_by_side(std::span<const Checked> candidates, const golden::GoldenFile& golden,
                         report::TableStyle style, report::Painter painted) {
  report::Table table{.columns = {{"stage"}}, .rows = {}};
  for (std::size_t i = 0; i < candidates.size(); ++i)
    table.columns.insert(table.columns.end(), {{letter(i)},
                                               {"outside", Align::right},
                                               {"max ulp", Align::right},
                                               {"rel L2", Align::right}});
  for (const std::string& name : stage_names(candidates)) {
    std::vector<std::string> row{name};
    for (const Checked& one : candidates) {
      const StageReport* stage = find_stage(one.report, name);
      if (stage == nullptr)
        row.insert(row.end(), {"-", "", "", ""});
      else
        row.insert(row.end(), {painted(verdict_name(stage->verdict), tone_of(stage->verdict)),
                               std::to_string(stage->outside), ulp_text(stage->max_ulp),
                               print("%.1e", stage->relative_l2)});
    }
    table.rows.push_back(std::move(row));
  }
  std::string text = report::to_text(table, style);
  for (std::size_t i = 0; i < candidates.size(); ++i)
    text += letter(i) + ": " + verdict_line(candidates[i], golden);
  for (const Checked& one : candidates) text += next_text(one.report, golden, *one.candidate);
  return text;
}

}  // namespace karat::cli
