// One recipe at the ends of a run and one between them: every pair of recipes and of ends.
#include <algorithm>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/tune/report.hpp"
#include "karat/tune/schedules.hpp"

namespace karat::tune {
namespace {

/// Sums over the first k steps of a candidate, one more than steps.
struct Sums {
  std::vector<double> time, error;
};
std::vector<Sums> sums_of(const Problem& problem) {
  std::vector<Sums> sums(static_cast<std::size_t>(problem.candidates));
  for (int c = 0; c < problem.candidates; ++c) {
    double time = 0, error = 0;
    Sums& of = sums[static_cast<std::size_t>(c)];
    of = {{0.0}, {0.0}};
    for (std::size_t step = 0; step < static_cast<std::size_t>(problem.steps); ++step) {
      of.time.push_back(time += problem.time[problem.at(step, c)]);
      of.error.push_back(error += problem.error[problem.at(step, c)]);
    }
  }
  return sums;
}

double sum_between(const std::vector<double>& sums, int begin, int end) {
  return sums[static_cast<std::size_t>(end)] - sums[static_cast<std::size_t>(begin)];
}

bool fits(Ends ends, int steps, int start, int end) {
  if (ends == Ends::start_alone) return start > 0 && start < steps && end == 0;
  return ends == Ends::any || start == end;
}

}  // namespace

std::optional<TwoEnds> two_ends_within(const Problem& whole, Ends ends,
                                       std::span<const std::uint16_t> high,
                                       std::span<const std::uint16_t> low, double budget) {
  validate(whole);
  const Problem problem = by_step(whole);
  const std::vector<Sums> sums = sums_of(problem);
  const int steps = problem.steps;
  std::optional<TwoEnds> best;
  for (const std::uint16_t h : high)
    for (const std::uint16_t l : low)
      for (int start = 0; start <= steps; ++start)
        for (int end = 0; start + end <= steps; ++end) {
          if (!fits(ends, steps, start, end)) continue;
          const auto total = [&](const std::vector<double> Sums::*of) {
            return sum_between(sums[h].*of, 0, start) +
                   sum_between(sums[l].*of, start, steps - end) +
                   sum_between(sums[h].*of, steps - end, steps);
          };
          TwoEnds found{.start = start, .end = end, .high = h, .low = l};
          found.time = total(&Sums::time);
          found.error = total(&Sums::error);
          if (found.time > budget * (1 + 1e-12)) continue;
          if (!best || found.error < best->error ||
              (found.error == best->error && found.time < best->time))
            best = found;
        }
  return best;
}

recipe::Schedule form_schedule(const Result& result, recipe::ScheduleForm form) {
  const Tuned& main = result.main();
  const StepTimes& times = result.times[main.gpu];
  const Problem problem = make_problem(result.errors, times, result.weights[main.weights]);
  std::vector<std::uint16_t> high, low;
  for (std::size_t c = 0; c < result.recipes.size(); ++c) {
    const bool sparse = recipe::has_sparsity_target(result.recipes[c]);
    const bool target = form == recipe::ScheduleForm::trtllm;
    if (!target || !sparse) high.push_back(static_cast<std::uint16_t>(c));
    if (c < result.candidates && (!target || sparse)) low.push_back(static_cast<std::uint16_t>(c));
  }
  const std::string name = std::string(recipe::to_text(form)) + "'s form of the schedule";
  if (low.empty() || high.empty())
    throw Error(ErrorKind::usage, name,
                "has a sparsity target, and no candidate selects a share of the key blocks or has "
                "a factor of skip.rule exponential",
                "add one, for example subblock, or choose another form");
  const Ends ends = form == recipe::ScheduleForm::xdit     ? Ends::equal
                    : form == recipe::ScheduleForm::trtllm ? Ends::start_alone
                                                           : Ends::any;
  const auto best =
      two_ends_within(problem, ends, high, low, main.budget_s - problem.steps * times.fixed_s);
  if (!best)
    throw Error(ErrorKind::usage, name, "has no schedule within the budget", "allow more time");
  recipe::Schedule schedule{.name = std::string(recipe::to_text(form)) + " for " + times.gpu,
                            .phases = {}};
  const auto phase = [&](std::uint16_t recipe) -> recipe::Phase& {
    recipe::Phase& made = schedule.phases.emplace_back();
    made.recipe = result.recipes[recipe];
    return made;
  };
  if (best->start > 0) phase(best->high).first = best->start;
  if (best->end > 0) phase(best->high).last = best->end;
  phase(best->low);
  return schedule;
}

}  // namespace karat::tune
