// See summary.hpp.
#include "loop/summary.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

namespace karat::study {
namespace {

constexpr int kResamples = 1000;

std::optional<statistics::Interval> over_seeds(const std::vector<double>& values) {
  return statistics::Resamples(static_cast<int>(values.size()), kResamples, 0).interval(values);
}

template <class Place>
std::vector<std::optional<LoopMean>> errors_by(const LoopStudy& study, int recipe, int count,
                                               Place place) {
  std::vector<SeedSquares> sums(static_cast<std::size_t>(count));
  for (const Sensitivity& row : study.rows)
    if (row.recipe == recipe)
      sums[static_cast<std::size_t>(place(row.cell))].add(row.cell.prompt, row.error);
  std::vector<std::optional<LoopMean>> out;
  for (const SeedSquares& sum : sums)
    out.push_back(sum.empty() ? std::nullopt : std::optional(sum.mean()));
  return out;
}

}  // namespace

LoopMean SeedSquares::mean() const {
  std::vector<double> squares;
  double total = 0;
  for (const auto& [seed, sum] : sums_) {
    squares.push_back(sum.squares / sum.count);
    total += squares.back();
  }
  LoopMean out{.value = std::sqrt(total / static_cast<double>(squares.size())), .interval = {}};
  if (const auto interval = over_seeds(squares))
    out.interval =
        statistics::Interval{std::sqrt(std::max(0.0, interval->low)), std::sqrt(interval->high)};
  return out;
}

std::vector<WholeRuns> whole_runs(const LoopStudy& study) {
  std::unordered_map<std::string_view, std::size_t> places;  // of names
  std::vector<std::vector<const LoopRun*>> groups;
  for (const LoopRun& run : study.runs) {
    if (run.kind != LoopRunKind::whole) continue;
    const auto [place, is_new] = places.try_emplace(run.name, groups.size());
    if (is_new) groups.emplace_back();
    groups[place->second].push_back(&run);
  }
  std::vector<WholeRuns> out;
  for (const std::vector<const LoopRun*>& group : groups) {
    out.push_back({.name = group.front()->name, .drift = {}});
    for (std::size_t step = 0; step < group.front()->drift.size(); ++step) {
      SeedSquares sum;
      for (const LoopRun* run : group) sum.add(run->seed, run->drift[step]);
      out.back().drift.push_back(sum.mean());
    }
  }
  return out;
}

std::vector<std::optional<LoopMean>> local_errors(const LoopStudy& study, int recipe) {
  return errors_by(study, recipe, study.steps, [](const capture::Cell& cell) { return cell.step; });
}

std::vector<std::optional<LoopMean>> layer_errors(const LoopStudy& study, int recipe) {
  return errors_by(study, recipe, study.layers,
                   [](const capture::Cell& cell) { return cell.layer; });
}

LoopMean step_weight(const LoopWeights& weights, int step) {
  const auto at = static_cast<std::size_t>(step);
  LoopMean out{.value = weights.step[at], .interval = {}};
  std::vector<double> values;
  for (const auto& seed : weights.by_seed) values.push_back(seed[at]);
  if (!values.empty()) out.interval = over_seeds(values);
  return out;
}

std::size_t seed_count(const LoopStudy& study) {
  std::set<int> seeds;
  for (const LoopRun& run : study.runs) seeds.insert(run.seed);
  for (const Sensitivity& row : study.rows) seeds.insert(row.cell.prompt);
  return seeds.size();
}

}  // namespace karat::study
