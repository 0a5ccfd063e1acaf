// Schedules of few contiguous phases, exactly: all pairs and triples, or dynamic programming.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/schedules.hpp"
#include "labels.hpp"

namespace karat::tune {
namespace {

/// Sums over the first k steps of each candidate, [candidate][k].
struct Prefix {
  explicit Prefix(const Problem& p)
      : steps(static_cast<std::size_t>(p.steps)),
        time(static_cast<std::size_t>(p.candidates) * (steps + 1)),
        error(time.size()) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(p.candidates); ++c)
      for (std::size_t s = 0; s < steps; ++s) {
        const std::size_t from = c * (steps + 1) + s;
        time[from + 1] = time[from] + p.time[p.at(s, static_cast<int>(c))];
        error[from + 1] = error[from] + p.error[p.at(s, static_cast<int>(c))];
      }
  }
  std::size_t steps;
  std::vector<double> time, error;
};

/// A phase's undominated recipes with their sums over its steps.
struct PhaseChoice {
  double time, error;
  std::uint16_t candidate;
};

std::vector<PhaseChoice> choices(const Prefix& sums, int candidates, int begin, int end) {
  std::vector<PhaseChoice> all;
  for (int c = 0; c < candidates; ++c) {
    const std::size_t row = static_cast<std::size_t>(c) * (sums.steps + 1);
    all.push_back({sums.time[row + end] - sums.time[row + begin],
                   sums.error[row + end] - sums.error[row + begin], static_cast<std::uint16_t>(c)});
  }
  remove_beaten(all, 0);
  return all;
}

constexpr std::size_t kPool = 1 << 20;
using Choices = std::vector<PhaseChoice>;

Problem prepared(const Problem& problem) {
  validate(problem);
  if (problem.steps < 3)
    throw Error(ErrorKind::usage, "three phases", "need at least three steps",
                "give --steps 3 or more");
  return by_step(problem);
}

/// Calls visit(pair, early, middle, late) for every pair of transition points.
template <class Visit>
void for_every_pair(const Problem& problem, const Visit& visit) {
  const Prefix sums(problem);
  const int steps = problem.steps;
  std::vector<Choices> late(static_cast<std::size_t>(steps));
  for (int second = 2; second < steps; ++second)
    late[static_cast<std::size_t>(second)] = choices(sums, problem.candidates, second, steps);
  for (int first = 1; first < steps - 1; ++first) {
    const Choices early = choices(sums, problem.candidates, 0, first);
    for (int second = first + 1; second < steps; ++second)
      visit(ThreePhases{.first = first, .second = second}, early,
            choices(sums, problem.candidates, first, second),
            late[static_cast<std::size_t>(second)]);
  }
}

ThreePhases joined(ThreePhases point, const PhaseChoice& a, const PhaseChoice& b,
                   const PhaseChoice& c) {
  point.recipe[0] = a.candidate;
  point.recipe[1] = b.candidate;
  point.recipe[2] = c.candidate;
  point.time = a.time + b.time + c.time;
  point.error = a.error + b.error + c.error;
  return point;
}

/// Sums in the order of evaluate().
void settle(ThreePhases& point, const Problem& problem) {
  const Totals totals = evaluate(problem, assignment_of(point, problem));
  point.time = totals.time;
  point.error = totals.error;
}

}  // namespace

std::string_view to_string(PhaseOrder order) {
  constexpr std::array<std::string_view, 3> kNames{"any", "slower", "faster"};
  return kNames[static_cast<std::size_t>(order)];
}

std::vector<ThreePhases> three_phase_front(const Problem& given) {
  const Problem problem = prepared(given);
  std::vector<ThreePhases> pool;
  std::size_t limit = kPool;
  for_every_pair(problem, [&](const ThreePhases& at, const Choices& early, const Choices& middle,
                              const Choices& late) {
    for (const PhaseChoice& b : middle)
      for (const PhaseChoice& a : early)
        for (const PhaseChoice& c : late) pool.push_back(joined(at, a, b, c));
    if (pool.size() > limit) {
      remove_beaten(pool);
      limit = kPool + pool.size();
    }
  });
  remove_beaten(pool);
  for (ThreePhases& point : pool) settle(point, problem);
  remove_beaten(pool);
  return pool;
}

ThreePhases three_phases_within(const Problem& given, double budget) {
  const Problem problem = prepared(given);
  const double limit = budget * (1 + 1e-12);
  ThreePhases best{.error = std::numeric_limits<double>::infinity()};
  for_every_pair(problem, [&](const ThreePhases& at, const Choices& early, const Choices& middle,
                              const Choices& late) {
    for (const PhaseChoice& a : early)
      for (const PhaseChoice& b : middle) {
        // Late choices are faster and worse the earlier they stand: the last that fits is the best.
        for (auto c = late.rbegin(); c != late.rend(); ++c) {
          const ThreePhases point = joined(at, a, b, *c);
          if (point.time > limit) continue;
          if (point.error < best.error || (point.error == best.error && point.time < best.time))
            best = point;
          break;
        }
      }
  });
  if (std::isinf(best.error))
    throw Error(ErrorKind::usage, "budget", "is below the time of the fastest schedule",
                "allow more time, or add a faster candidate");
  settle(best, problem);
  return best;
}

Assignment assignment_of(const ThreePhases& phases, const Problem& problem) {
  Assignment steps;
  for (int step = 0; step < problem.steps; ++step)
    steps.push_back(phases.recipe[step < phases.first ? 0 : step < phases.second ? 1 : 2]);
  return over_groups(steps, problem.groups);
}

Front phased_front(const Problem& given, const PhasedOptions& options) {
  validate(given);
  if (options.phases < 1)
    throw Error(ErrorKind::usage, "phases", "must be at least one", "give 1 or more");
  const Problem problem = by_step(given);
  const auto candidates = static_cast<std::size_t>(problem.candidates);
  const auto phases = static_cast<std::size_t>(std::min(options.phases, problem.steps));
  std::vector<double> total(candidates, 0);
  for (std::size_t s = 0; s < problem.items(); ++s)
    for (std::size_t c = 0; c < candidates; ++c) total[c] += problem.time[s * candidates + c];
  const auto may_follow = [&](std::size_t from, std::size_t to) {
    return options.order == PhaseOrder::any ||
           (options.order == PhaseOrder::slower ? total[to] > total[from]
                                                : total[to] < total[from]);
  };
  LabelArena arena(problem);
  Front front;
  std::vector<Labels> state(phases * candidates);  // [phase][candidate]
  for (std::size_t c = 0; c < candidates; ++c)
    state[c] = {arena.start(static_cast<std::uint16_t>(c))};
  for (std::size_t step = 1; step < problem.items(); ++step) {
    std::vector<Labels> next(state.size());
    for (std::size_t p = 0; p < phases; ++p) {
      for (std::size_t to = 0; to < candidates; ++to) {
        Labels& reached = next[p * candidates + to];
        const auto extend = [&](const Labels& from) {
          for (const Label& label : from)
            reached.push_back(arena.extend(label, step, static_cast<std::uint16_t>(to)));
        };
        extend(state[p * candidates + to]);
        for (std::size_t from = 0; p > 0 && from < candidates; ++from)
          if (from != to && may_follow(from, to)) extend(state[(p - 1) * candidates + from]);
        front.exact &= arena.keep(reached, options.most_labels);
      }
    }
    state = std::move(next);
  }
  Labels all;
  for (const Labels& labels : state) all.insert(all.end(), labels.begin(), labels.end());
  undominated(all);
  for (const Label& label : all) {
    FrontPoint point = priced(problem, arena.path(label));
    point.assignment = over_groups(point.assignment, given.groups);
    front.points.push_back(std::move(point));
  }
  remove_beaten(front.points);
  return front;
}

}  // namespace karat::tune
