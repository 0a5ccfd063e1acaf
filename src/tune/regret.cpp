// What a schedule tuned for one GPU costs on another.
#include <algorithm>
#include <limits>

#include "fronts.hpp"

namespace karat::tune {
namespace {

double time_on(const Result& result, std::size_t gpu, const Assignment& assignment) {
  const StepTimes& times = result.times[gpu];
  double decided = 0;
  for (const std::uint16_t c : assignment) decided += times.decided_s[c];
  return times.fixed_s * result.errors.steps + decided / result.errors.groups;
}

/// The least error within a time, and the least time with at most an error, of a whole front.
double least_error(const std::vector<Totals>& front, double time_s) {
  double best = std::numeric_limits<double>::infinity();
  for (const Totals& point : front)
    if (point.time <= time_s * (1 + 1e-12)) best = std::min(best, point.error);
  return best;
}
double least_time(const std::vector<Totals>& front, double error) {
  double best = std::numeric_limits<double>::infinity();
  for (const Totals& point : front)
    if (point.error <= error * (1 + 1e-12)) best = std::min(best, point.time);
  return best;
}

}  // namespace

std::vector<Regret> tuned_regrets(const Result& result) {
  std::vector<Regret> out;
  for (std::size_t weights = 0; weights < result.weights.size(); ++weights)
    for (std::size_t from = 0; from < result.times.size(); ++from)
      for (std::size_t to = 0; to < result.times.size(); ++to) {
        if (from == to) continue;
        const Tuned& there = result.of(to, weights);
        const Tuned& here = result.of(from, weights);
        for (const ScheduleKind kind :
             {ScheduleKind::three_phase, ScheduleKind::general_by_step, ScheduleKind::general}) {
          const TunedFront& own = there.front(kind);
          Regret regret{.weights = weights, .tuned_on = from, .run_on = to, .kind = kind};
          for (const TunedPoint& point : here.front(kind).points) {
            const double time = time_on(result, to, point.assignment);
            const double fastest = least_time(own.all, point.error);
            regret.worst_time_ratio = std::max(regret.worst_time_ratio, time / fastest);
          }
          const TunedPoint* chosen = here.front(kind).within(here.budget_s);
          if (!chosen) continue;
          regret.time_s = time_on(result, to, chosen->assignment);
          regret.error = chosen->error;
          regret.best_error = std::min(least_error(own.all, regret.time_s), regret.error);
          regret.best_time_s = std::min(least_time(own.all, regret.error), regret.time_s);
          out.push_back(regret);
        }
      }
  return out;
}

}  // namespace karat::tune
