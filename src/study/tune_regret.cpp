// What a schedule tuned for one GPU costs on another.
#include <algorithm>

#include "tune_fronts.hpp"

namespace karat::study {
namespace {

double time_on(const TuneResult& result, std::size_t gpu, const Assignment& assignment) {
  const TuneTimes& times = result.times[gpu];
  double decided = 0;
  for (const std::uint16_t c : assignment) decided += times.decided_s[c];
  return times.fixed_s * result.errors.steps + decided / result.errors.groups;
}

}  // namespace

std::vector<Regret> tuned_regrets(const TuneResult& result) {
  std::vector<Regret> out;
  for (std::size_t weights = 0; weights < result.weights.size(); ++weights)
    for (std::size_t from = 0; from < result.times.size(); ++from)
      for (std::size_t to = 0; to < result.times.size(); ++to) {
        if (from == to) continue;
        const Tuned& there = result.of(to, weights);
        const Tuned& here = result.of(from, weights);
        for (const TuneKind kind :
             {TuneKind::three_phase, TuneKind::general_by_step, TuneKind::general}) {
          const TunedFront& own = there.front(kind);
          Regret regret{.weights = weights, .tuned_on = from, .run_on = to, .kind = kind};
          for (const TunedPoint& point : here.front(kind).points) {
            const double time = time_on(result, to, point.assignment);
            const TunedPoint* fastest = own.reaching(point.error * (1 + 1e-12));
            if (fastest)
              regret.worst_time_ratio = std::max(regret.worst_time_ratio, time / fastest->time_s);
          }
          const TunedPoint* chosen = here.front(kind).within(here.budget_s);
          if (!chosen) continue;
          regret.time_s = time_on(result, to, chosen->assignment);
          regret.error = chosen->error;
          const TunedPoint* as_fast = own.within(regret.time_s);
          const TunedPoint* as_good = own.reaching(regret.error * (1 + 1e-12));
          regret.best_error = as_fast ? std::min(as_fast->error, regret.error) : regret.error;
          regret.best_time_s = as_good ? std::min(as_good->time_s, regret.time_s) : regret.time_s;
          out.push_back(regret);
        }
      }
  return out;
}

}  // namespace karat::study
