// The tuner's optima against brute force, on small problems of every kind.
#include "karat/tune/problem.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <optional>
#include <random>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/schedules.hpp"

namespace karat::tune {
namespace {

/// How a random problem's numbers are drawn.
enum class Numbers {
  real,        ///< all different
  per_recipe,  ///< times depend on the recipe alone, as those of a GPU do
  few,         ///< small integers: ties everywhere
};

Problem random_problem(int steps, int groups, int candidates, Numbers numbers, unsigned seed) {
  std::mt19937 random(seed);
  const auto draw = [&] {
    return numbers == Numbers::few ? std::uniform_int_distribution<>(0, 5)(random)
                                   : std::exp(std::normal_distribution<>(0, 1.5)(random));
  };
  Problem p{.steps = steps, .groups = groups, .candidates = candidates};
  std::vector<double> recipe_time;
  for (int c = 0; c < candidates; ++c) recipe_time.push_back(draw());
  for (std::size_t i = 0; i < p.items() * static_cast<std::size_t>(candidates); ++i) {
    p.error.push_back(draw());
    p.time.push_back(numbers == Numbers::per_recipe
                         ? recipe_time[i % static_cast<std::size_t>(candidates)]
                         : draw());
  }
  return p;
}

/// Every assignment of the items that a rule allows, as undominated totals.
std::vector<FrontPoint> brute_force(const Problem& p,
                                    const std::function<bool(const Assignment&)>& allowed) {
  std::vector<FrontPoint> all;
  Assignment a(p.items(), 0);
  while (true) {
    if (allowed(a)) {
      const Totals t = evaluate(p, a);
      all.push_back({t.time, t.error, a});
    }
    std::size_t i = 0;
    while (i < a.size() && ++a[i] == p.candidates) a[i++] = 0;
    if (i == a.size()) {
      remove_beaten(all);
      return all;
    }
  }
}

template <class Points>
void expect_same_front(const Points& got, const std::vector<FrontPoint>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i].time, expected[i].time, 1e-9 * expected.back().time);
    EXPECT_NEAR(got[i].error, expected[i].error, 1e-9 * expected.front().error);
  }
}

int switches(const Assignment& a) {
  int count = 0;
  for (std::size_t i = 1; i < a.size(); ++i) count += a[i] != a[i - 1];
  return count;
}

/// Problems of every kind of numbers and a dozen seeds.
template <class Check>
void for_every_kind(int steps, int groups, int candidates, const Check& check) {
  for (const Numbers numbers : {Numbers::real, Numbers::per_recipe, Numbers::few})
    for (unsigned seed = 0; seed < 12; ++seed) {
      SCOPED_TRACE("numbers " + std::to_string(static_cast<int>(numbers)) + ", seed " +
                   std::to_string(seed));
      check(random_problem(steps, groups, candidates, numbers, seed));
    }
}

TEST(Tune, ThreePhasesEqualBruteForceOverAllPairsAndTriples) {
  for_every_kind(7, 1, 3, [](const Problem& p) {
    const auto expected = brute_force(p, [](const Assignment& a) { return switches(a) <= 2; });
    expect_same_front(three_phase_front(p), expected);
    expect_same_front(phased_front(p, {.phases = 3}).points, expected);
    const Front front{.points = expected};
    for (const double share : {0.0, 0.3, 0.62, 1.0}) {
      const double budget =
          expected.front().time + share * (expected.back().time - expected.front().time);
      const ThreePhases best = three_phases_within(p, budget);
      EXPECT_LE(best.time, budget * (1 + 1e-11));
      EXPECT_NEAR(best.error, front.within(budget)->error, 1e-9 * expected.front().error);
    }
  });
}

TEST(Tune, PhasesNameWhatTheySum) {
  for_every_kind(9, 2, 3, [](const Problem& p) {
    for (const ThreePhases& point : three_phase_front(p)) {
      EXPECT_TRUE(1 <= point.first && point.first < point.second && point.second < p.steps);
      const Totals totals = evaluate(p, assignment_of(point, p));
      EXPECT_NEAR(totals.time, point.time, 1e-12 * point.time);
      EXPECT_NEAR(totals.error, point.error, 1e-12 * point.error + 1e-300);
    }
  });
}

TEST(Tune, MonotonePhasesEqualBruteForce) {
  for_every_kind(7, 1, 3, [](const Problem& p) {
    std::vector<double> total(3, 0);
    for (std::size_t i = 0; i < p.time.size(); ++i) total[i % 3] += p.time[i];
    for (const PhaseOrder order : {PhaseOrder::slower, PhaseOrder::faster}) {
      const auto expected = brute_force(p, [&](const Assignment& a) {
        for (std::size_t i = 1; i < a.size(); ++i) {
          const double change = total[a[i]] - total[a[i - 1]];
          if (a[i] != a[i - 1] && (order == PhaseOrder::slower ? change <= 0 : change >= 0))
            return false;
        }
        return true;
      });
      const Front got = phased_front(p, {.phases = 7, .order = order});
      EXPECT_TRUE(got.exact);
      expect_same_front(got.points, expected);
    }
  });
}

TEST(Tune, GeneralFrontEqualsBruteForce) {
  for (const auto& [steps, groups, candidates] : {std::tuple{7, 1, 4}, {3, 3, 3}, {12, 1, 2}})
    for_every_kind(steps, groups, candidates, [](const Problem& p) {
      const Front got = general_front(p);
      EXPECT_TRUE(got.exact);
      expect_same_front(got.points, brute_force(p, [](const Assignment&) { return true; }));
    });
}

TEST(Tune, BoundHoldsAndLocalSearchStaysWithinTheBudget) {
  for_every_kind(8, 1, 3, [](const Problem& p) {
    const Front best{.points = brute_force(p, [](const Assignment&) { return true; })};
    const double fast = best.points.front().time, slow = best.points.back().time;
    for (int i = 0; i <= 20; ++i) {
      const double budget = fast + (slow - fast) * i / 20;
      const BudgetAnswer answer = solve_within(p, budget);
      const double optimum = best.within(budget)->error;
      EXPECT_LE(answer.point.time, budget * (1 + 1e-11));
      EXPECT_GE(answer.point.error, optimum * (1 - 1e-9));
      EXPECT_LE(answer.bound, optimum * (1 + 1e-9) + 1e-12);
    }
  });
}

TEST(Tune, GeneralIsNeverWorseThanThreePhasesEvenWhereItIsNotExact) {
  for_every_kind(10, 2, 4, [](const Problem& p) {
    for (const std::size_t most_items : {std::size_t{0}, std::size_t{400}}) {
      const Front general = general_front(p, {.most_items = most_items, .most_points = 7});
      EXPECT_EQ(general.exact, most_items > 0);
      for (const ThreePhases& phases : three_phase_front(p)) {
        const FrontPoint* ours = general.within(phases.time);
        ASSERT_NE(ours, nullptr);
        EXPECT_LE(ours->error, phases.error * (1 + 1e-12) + 1e-300);
      }
    }
  });
}

TEST(Tune, CornersAreOptimalAndConvex) {
  for_every_kind(6, 2, 3, [](const Problem& p) {
    const Relaxation hull(p);
    const auto corners = hull.corners();
    for (std::size_t k = 0; k < corners.size(); ++k) {
      const Totals totals = evaluate(p, hull.assignment(k));
      EXPECT_NEAR(totals.time, corners[k].time, 1e-9 * corners.back().time);
      EXPECT_NEAR(totals.error, corners[k].error, 1e-9 * corners.front().error);
      if (k == 0) continue;
      EXPECT_GT(corners[k].time, corners[k - 1].time);
      EXPECT_LT(corners[k].error, corners[k - 1].error + 1e-12);
    }
  });
}

TEST(Tune, WarmUpRunsDenseFirst) {
  const Problem p = random_problem(5, 2, 3, Numbers::real, 1);
  for (const FrontPoint& point : warm_up_front(p, 2, 3).points) {
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(point.assignment[i], 2);
    for (std::size_t i = 7; i < 10; ++i) EXPECT_EQ(point.assignment[i], point.assignment[6]);
  }
}

TEST(Tune, StaSearchTakesTheLeastErrorAmongTheFastEnough) {
  const Problem p = random_problem(6, 3, 4, Numbers::per_recipe, 3);
  const std::vector<int> searched{0, 1, 3};
  const Front front = sta_search_front(p, 2, 2, searched);
  const Assignment& slowest = front.points.back().assignment;
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(slowest[i], 2);
  for (std::size_t i = 6; i < 18; ++i)
    for (const int c : searched) EXPECT_LE(p.error[p.at(i, slowest[i])], p.error[p.at(i, c)]);
}

TEST(Tune, ThinningKeepsEndsAndAskedBudgets) {
  const Problem p = random_problem(30, 1, 4, Numbers::real, 5);
  const Front front = general_front(p);
  ASSERT_GT(front.points.size(), 60u);
  const std::vector<double> budgets{front.points[17].time, front.points[29].time * (1 + 1e-14)};
  const Front few = thinned(front, 20, budgets);
  EXPECT_LE(few.points.size(), 20u);
  EXPECT_EQ(few.points.front().time, front.points.front().time);
  EXPECT_EQ(few.points.back().error, front.points.back().error);
  EXPECT_EQ(few.within(budgets[0])->error, front.points[17].error);
  EXPECT_EQ(few.within(budgets[1])->error, front.points[29].error);
}

TEST(Tune, ManyHeadsComeCloseToTheBound) {
  const Problem p = random_problem(20, 40, 6, Numbers::per_recipe, 9);
  const Front front = general_front(p, {.most_points = 40});
  EXPECT_FALSE(front.exact);
  const Relaxation hull(p);
  for (const FrontPoint& point : front.points)
    EXPECT_LE(point.error, hull.bound(point.time) * 1.01);
}

TEST(Tune, TwoEndsEqualBruteForce) {
  const std::vector<std::uint16_t> high{0, 2}, low{1, 2};
  for (unsigned seed = 0; seed < 40; ++seed)
    for (const Ends ends : {Ends::any, Ends::equal, Ends::start_alone}) {
      const Problem p = random_problem(5, 2, 3, Numbers::real, seed);
      const double budget = 20 + seed;
      std::optional<double> least;
      for (const std::uint16_t h : high)
        for (const std::uint16_t l : low)
          for (unsigned kept = 0; kept < 32; ++kept) {  // a bit for every step that runs h
            Assignment a;
            for (unsigned step = 0; step < 5; ++step)
              a.insert(a.end(), 2, (kept >> step & 1) != 0 ? h : l);
            int start = 0, end = 0;
            while (start < 5 && (kept >> start & 1) != 0) ++start;
            while (end < 5 - start && (kept >> (4 - end) & 1) != 0) ++end;
            if (std::popcount(kept) != start + end) continue;
            if (ends == Ends::start_alone && (start == 0 || start == 5 || end > 0)) continue;
            if (ends == Ends::equal && start != end) continue;
            const Totals t = evaluate(p, a);
            if (t.time <= budget && (!least || t.error < *least)) least = t.error;
          }
      const auto found = two_ends_within(p, ends, high, low, budget);
      ASSERT_EQ(found.has_value(), least.has_value()) << seed;
      if (!found) continue;
      EXPECT_NEAR(found->error, *least, 1e-9 * *least) << seed;
      EXPECT_LE(found->time, budget * (1 + 1e-9)) << seed;
      if (ends == Ends::start_alone) {
        EXPECT_TRUE(found->start < 5 && found->end == 0) << seed;
      }
    }
}

TEST(Tune, RefusesWhatIsNoProblem) {
  const auto expect_refused = [](Problem p) { EXPECT_THROW(general_front(p), Error); };
  const Problem good = random_problem(4, 1, 2, Numbers::real, 0);
  Problem p = good;
  p.candidates = 0;
  expect_refused(p);
  p = good;
  p.error.pop_back();
  expect_refused(p);
  p = good;
  p.time[3] = -1;
  expect_refused(p);
  p = good;
  p.error[0] = NAN;
  expect_refused(p);
  EXPECT_THROW(three_phase_front(random_problem(2, 1, 2, Numbers::real, 0)), Error);
  EXPECT_THROW(solve_within(good, 0), Error);
  EXPECT_THROW(three_phases_within(good, 0), Error);
}

}  // namespace
}  // namespace karat::tune
