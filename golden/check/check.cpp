// Finds the stages both files hold, checks shapes, and tallies head by head.
#include "karat/golden/check.hpp"

#include <algorithm>

#include "check_stage.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

[[noreturn]] void throw_nothing_in_common(const GoldenFile& golden,
                                          const cases::TensorSource& candidate) {
  std::string held;
  for (const files::TensorInfo& tensor : candidate.list())
    if (held.size() < 100) held += (held.empty() ? "" : ", ") + tensor.name;
  throw Error(ErrorKind::usage, candidate.subject(),
              "holds " + (held.empty() ? "nothing" : held) + " but no stage of " + golden.subject(),
              "name a tensor o, lse, q_codes, ... (karat inspect --export shows all)");
}

void require_selection(const GoldenFile& golden, const Selection& select) {
  const auto require = [](std::size_t value, std::size_t count, const char* what) {
    if (value >= count)
      throw Error(ErrorKind::usage, "--select",
                  std::string(what) + " " + std::to_string(value) + " of " + std::to_string(count),
                  "choose one from 0 to " + std::to_string(count - 1));
  };
  require(select.batch.value_or(0), golden.shape().batch, "batch");
  require(select.head.value_or(0), golden.shape().heads, "head");
  require(
      static_cast<std::size_t>(select.block.value_or(0)),
      golden.layout(select.batch.value_or(0), select.head.value_or(0)).blocks.query_blocks.size(),
      "query block");
}

/// Where nothing was compared: the selected query block may have left out all there is.
void require_selected_rows(const GoldenFile& golden, const cases::TensorSource& candidate,
                           const Selection& select) {
  if (!select.block || !golden.has_backward()) return;
  for (const char* stage : {"dv", "dk"})
    if (candidate.find(stage))
      throw Error(
          ErrorKind::usage, "--select",
          "a query block selects no rows of " + std::string(stage) + ", which sum over all of them",
          "leave the query block out");
}

}  // namespace

namespace {

const StageReport* first_with(const std::vector<StageReport>& stages, Verdict verdict) {
  const auto found = std::ranges::find(stages, verdict, &StageReport::verdict);
  return found == stages.end() ? nullptr : &*found;
}

}  // namespace

const StageReport* CheckReport::first_difference() const {
  return first_with(stages, Verdict::differs);
}
const StageReport* CheckReport::first_doubt() const {
  return first_with(stages, Verdict::undecided);
}

void StageReport::doubt(std::vector<Doubt> reasons) {
  if (verdict != Verdict::within || reasons.empty()) return;
  verdict = Verdict::undecided;
  doubts = std::move(reasons);
}

namespace {

void require_demand(const GoldenFile& golden, Demand demand) {
  if (demand == Demand::legal || is_mufu(golden.recipe().softmax.exp2)) return;
  throw Error(ErrorKind::usage, "--strict",
              golden.subject() + " has another softmax.exp2 than mufu: no GPU computes its bits",
              "make it with softmax.exp2 mufu, or leave --strict out");
}

/// What only lies within its range differs.
void demand_golden_bits(StageReport& stage) {
  if (stage.verdict == Verdict::equal) return;
  stage.fixed = true;
  stage.outside = stage.differing;
  stage.doubts.clear();
  stage.verdict = Verdict::differs;
}

}  // namespace

CheckReport check(const GoldenFile& golden, const cases::TensorSource& candidate,
                  const CheckOptions& options) {
  require_selection(golden, options.select);
  require_demand(golden, options.demand);
  CheckReport report;
  Comparison comparison(golden, candidate, options);
  const auto both_hold = [&](const StageRow& row) {
    return golden.has(row.name) && candidate.find(row.name).has_value();
  };
  const std::size_t gradients =
      golden.has_backward()
          ? static_cast<std::size_t>(std::ranges::count_if(
                gradient_stages(),
                [&](std::string_view stage) { return comparison.judges_gradient(stage); }))
          : 0;
  comparison.announce(static_cast<std::size_t>(std::ranges::count_if(kOperandStages, both_hold) +
                                               std::ranges::count_if(kOutputStages, both_hold)) +
                      gradients);
  const auto add = [&](std::span<const StageRow> rows) {
    for (const StageRow& row : rows)
      if (both_hold(row)) report.stages.push_back(comparison.stage(row));
  };
  add(kOperandStages);
  for (StageReport& stage : comparison.taps()) report.stages.push_back(std::move(stage));
  add(kOutputStages);
  if (golden.has_backward()) {
    const auto whole = [&](std::string_view stage) {
      if (comparison.judges_gradient(stage)) report.stages.push_back(comparison.gradient(stage));
    };
    const auto stages = gradient_stages();
    const auto first = std::ranges::find(stages, "dv");
    std::for_each(stages.begin(), first, whole);
    for (StageReport& stage : comparison.gradient_taps()) report.stages.push_back(std::move(stage));
    std::for_each(first, stages.end(), whole);
    report.gradients = comparison.gradient_errors();
  }
  if (report.stages.empty()) {
    require_selected_rows(golden, candidate, options.select);
    throw_nothing_in_common(golden, candidate);
  }
  if (options.demand == Demand::golden) std::ranges::for_each(report.stages, demand_golden_bits);
  report.outputs = comparison.outputs();
  report.freedom = bounds::freedom_of(golden.recipe(), options.allowed);
  for (const StageReport& stage : report.stages)
    report.verdict = std::max(report.verdict, stage.verdict);
  report.passed = report.verdict <= Verdict::within;
  return report;
}

}  // namespace karat::golden
