// Fronts of every kind with their intervals.
#include "fronts.hpp"

#include <algorithm>
#include <cmath>

#include "karat/tune/schedules.hpp"

namespace karat::tune {
namespace {

constexpr double kWarmUps[] = {0.24, 0.30};

TunedPoint tuned_point(const Setting& s, FrontPoint point) {
  TunedPoint out{.time_s = s.time_s(point.time), .error = std::sqrt(point.error)};
  out.seed_error = seed_errors(s.result->errors_under(*s.weights), *s.weights, point.assignment);
  if (const auto interval = s.bootstrap->interval(out.seed_error))
    out.interval =
        statistics::Interval{std::sqrt(std::max(0.0, interval->low)), std::sqrt(interval->high)};
  out.what = words(s, point.assignment);
  out.assignment = std::move(point.assignment);
  return out;
}

TunedFront tuned_front(const Setting& s, ScheduleKind kind, Front front) {
  TunedFront out{.kind = kind, .exact = front.exact, .points = {}};
  for (FrontPoint& point : front.points) out.points.push_back(tuned_point(s, std::move(point)));
  return out;
}

std::vector<Totals> totals_of(const Setting& s, const Front& front) {
  std::vector<Totals> out;
  for (const FrontPoint& point : front.points)
    out.push_back({s.time_s(point.time), std::sqrt(point.error)});
  return out;
}

Front together(Front a, const Front& b) {
  a.exact = a.exact && b.exact;
  a.points.insert(a.points.end(), b.points.begin(), b.points.end());
  remove_beaten(a.points);
  return a;
}

Front warm_up_fronts(const Setting& s) {
  Front front;
  for (const int steps : warm_ups(s.wide.steps))
    front = together(std::move(front),
                     warm_up_front(s.wide, static_cast<int>(*s.result->dense), steps));
  return front;
}

/// STA searches among masked recipes; without any, among all that are not the dense one.
Front searched_front(const Setting& s) {
  std::vector<int> masked, others;
  for (std::size_t c = 0; c < s.result->candidates; ++c) {
    if (c == *s.result->dense) continue;
    others.push_back(static_cast<int>(c));
    if (s.result->recipes[c].mask.kind != recipe::MaskKind::none)
      masked.push_back(static_cast<int>(c));
  }
  const auto& searched = masked.empty() ? others : masked;
  if (searched.empty()) return {};
  return sta_search_front(s.wide, static_cast<int>(*s.result->dense),
                          warm_ups(s.wide.steps).front(), searched);
}

}  // namespace

std::vector<int> warm_ups(int steps) {
  std::vector<int> out;
  for (const double share : kWarmUps) out.push_back(static_cast<int>(std::lround(share * steps)));
  return out;
}

Problem narrowed(const Problem& problem, std::size_t candidates) {
  Problem out{
      .steps = problem.steps, .groups = problem.groups, .candidates = static_cast<int>(candidates)};
  for (std::size_t item = 0; item < problem.items(); ++item)
    for (std::size_t c = 0; c < candidates; ++c) {
      out.error.push_back(problem.error[problem.at(item, static_cast<int>(c))]);
      out.time.push_back(problem.time[problem.at(item, static_cast<int>(c))]);
    }
  return out;
}

std::string words(const Setting& s, std::span<const std::uint16_t> assignment) {
  const auto groups = static_cast<std::size_t>(s.own.groups);
  std::string text;
  bool whole = true;
  for (std::size_t i = 0; i < assignment.size() && whole; ++i)
    whole = assignment[i] == assignment[i / groups * groups];
  if (!whole) {
    std::vector<std::size_t> counts(s.result->recipes.size(), 0);
    for (const std::uint16_t c : assignment) ++counts[c];
    for (std::size_t c = 0; c < counts.size(); ++c)
      if (counts[c] > 0)
        text += (text.empty() ? "" : ", ") +
                std::to_string(std::lround(100.0 * static_cast<double>(counts[c]) /
                                           static_cast<double>(assignment.size()))) +
                " % " + s.result->recipes[c].name;
    return text;
  }
  for (std::size_t i = 0, begin = 0; i < assignment.size(); i += groups) {
    if (i + groups < assignment.size() && assignment[i + groups] == assignment[i]) continue;
    const std::size_t count = (i + groups - begin) / groups;
    const std::string& name = s.result->recipes[assignment[i]].name;
    if (begin == 0 && i + groups == assignment.size()) return name;
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + name;
    begin = i + groups;
  }
  return text;
}

std::vector<TunedFront> tuned_fronts(const Setting& s, double budget_s) {
  std::vector<double> budgets{budget_s - s.fixed_s()};
  const auto note_times = [&](const Front& front) {
    for (const FrontPoint& point : front.points) budgets.push_back(point.time);
  };
  const Front uniform = uniform_front(s.own);
  const Front warm = s.result->dense ? warm_up_fronts(s) : Front{};
  const Front searched = s.result->dense ? searched_front(s) : Front{};
  for (const Front* front : {&uniform, &warm, &searched}) note_times(*front);

  const std::vector<ThreePhases> phases = three_phase_front(s.own);
  Front three;
  for (const ThreePhases& point : phases)
    three.points.push_back({point.time, point.error, assignment_of(point, s.own)});
  const std::vector<Totals> all_three = totals_of(s, three);
  three = thinned(three, s.most_points, budgets);
  note_times(three);

  Front steps = general_front(by_step(s.own));
  for (FrontPoint& point : steps.points)
    point.assignment = over_groups(point.assignment, s.own.groups);
  Front general = s.own.groups == 1 ? steps : together(general_front(s.own), steps);
  const std::vector<Totals> all_steps = totals_of(s, steps), all_general = totals_of(s, general);
  steps = thinned(steps, s.most_points, budgets);
  note_times(steps);
  general = thinned(general, s.most_points, budgets);

  std::vector<TunedFront> out;
  out.push_back(tuned_front(s, ScheduleKind::three_phase, std::move(three)));
  out.push_back(tuned_front(s, ScheduleKind::general, std::move(general)));
  out.push_back(tuned_front(s, ScheduleKind::general_by_step, std::move(steps)));
  out.push_back(tuned_front(s, ScheduleKind::uniform, uniform));
  out.push_back(tuned_front(s, ScheduleKind::dense_warmup, warm));
  out.push_back(tuned_front(s, ScheduleKind::sta_search, searched));
  out[0].all = all_three;
  out[1].all = all_general;
  out[2].all = all_steps;
  for (TunedPoint& point : out.front().points) {
    const auto at = std::find_if(phases.begin(), phases.end(), [&](const ThreePhases& p) {
      return s.time_s(p.time) == point.time_s && assignment_of(p, s.own) == point.assignment;
    });
    if (at != phases.end()) point.phases = *at;
  }
  return out;
}

std::vector<PhaseCount> tuned_phase_counts(const Setting& s, double budget_s) {
  const Problem steps = by_step(s.own);
  std::vector<PhaseCount> out;
  const auto add = [&](int phases, PhaseOrder order) {
    const Front front = phased_front(steps, {.phases = phases, .order = order});
    if (const FrontPoint* point = front.within(budget_s - s.fixed_s()))
      out.push_back({phases, order, std::sqrt(point->error)});
  };
  for (int phases = 1; phases <= 5; ++phases) add(phases, PhaseOrder::any);
  add(steps.candidates, PhaseOrder::slower);
  add(steps.candidates, PhaseOrder::faster);
  return out;
}

}  // namespace karat::tune
