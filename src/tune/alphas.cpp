// The two transition points, how sure they are, and comparisons at equal time.
#include <algorithm>
#include <cmath>

#include "fronts.hpp"

namespace karat::tune {
namespace {

constexpr int kMostRefits = 200;  // resamples for which the optimum is searched anew

}  // namespace

Alphas tuned_alphas(const Setting& s, double budget_s) {
  const double budget = budget_s - s.fixed_s();
  const StepErrors& errors = s.result->errors_under(*s.weights);
  const auto best_for = [&](std::span<const int> counts) {
    return three_phases_within(
        narrowed(by_step(make_problem(errors, *s.times, *s.weights, counts)), s.result->candidates),
        budget);
  };
  const double steps = s.own.steps;
  Alphas out{.phases = three_phases_within(s.own, budget)};
  out.alpha1 = out.phases.first / steps;
  out.alpha2 = out.phases.second / steps;
  const int refits = std::min(kMostRefits, s.bootstrap->count());
  if (refits < 1) return out;
  std::vector<double> first, second;
  int same = 0;
  for (int i = 0; i < refits; ++i) {
    const ThreePhases best = best_for(s.bootstrap->counts(i));
    first.push_back(best.first / steps);
    second.push_back(best.second / steps);
    same += std::equal(best.recipe, best.recipe + 3, out.phases.recipe);
  }
  out.alpha1_interval = statistics::middle(first);
  out.alpha2_interval = statistics::middle(second);
  out.same_recipes = static_cast<double>(same) / refits;
  double held_out = 0;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(errors.seeds); ++seed) {
    std::vector<int> others(static_cast<std::size_t>(errors.seeds), 1);
    others[seed] = 0;
    const ThreePhases chosen = best_for(others);
    held_out += seed_errors(errors, *s.weights, assignment_of(chosen, s.own))[seed];
  }
  out.held_out_error = std::sqrt(held_out / errors.seeds);
  return out;
}

std::vector<Comparison> tuned_comparisons(const Setting& s, const std::vector<TunedFront>& fronts) {
  std::vector<Comparison> out;
  for (const TunedFront& baseline : fronts) {
    if (baseline.kind != ScheduleKind::uniform && baseline.kind != ScheduleKind::dense_warmup &&
        baseline.kind != ScheduleKind::sta_search)
      continue;
    for (const TunedPoint& theirs : baseline.points)
      for (const ScheduleKind kind :
           {ScheduleKind::three_phase, ScheduleKind::general_by_step, ScheduleKind::general}) {
        const TunedPoint* ours = fronts[static_cast<std::size_t>(kind)].within(theirs.time_s);
        if (!ours) continue;
        Comparison c{.baseline = baseline.kind,
                     .what = theirs.what,
                     .time_s = theirs.time_s,
                     .error = theirs.error,
                     .ours = kind,
                     .our_time_s = ours->time_s,
                     .our_error = ours->error};
        using Verdict = Comparison::Verdict;
        if (ours->assignment == theirs.assignment) {
          c.verdict = Verdict::equal;
        } else if (const auto squares =
                       s.bootstrap->ratio_interval(ours->seed_error, theirs.seed_error)) {
          c.ratio = statistics::Interval{std::sqrt(squares->low), std::sqrt(squares->high)};
          c.verdict = c.ratio->high < 1  ? Verdict::better
                      : c.ratio->low > 1 ? Verdict::worse
                                         : Verdict::undecided;
        }
        out.push_back(std::move(c));
      }
  }
  return out;
}

}  // namespace karat::tune
