// The general problem: exact between the hull's corners where affordable, local search elsewhere.
#include <algorithm>
#include <limits>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/schedules.hpp"
#include "labels.hpp"

namespace karat::tune {
namespace {

constexpr double kSlack = 1 + 1e-9;   // rounding of reduced costs
constexpr double kWorthwhile = 1e-5;  // of the error: a smaller distance to the bound is left alone
constexpr std::size_t kMostExchanges = 4'000'000;

/// Where a line error + price * time touches an item, and how far above it each candidate lies.
struct Reduced {
  double base = std::numeric_limits<double>::infinity();
  std::vector<std::uint16_t> near;  ///< candidates no further above than the gap
};

std::vector<Reduced> reduced_costs(const Problem& p, double price, double gap) {
  std::vector<Reduced> items(p.items());
  for (std::size_t item = 0; item < items.size(); ++item) {
    const auto cost = [&](int c) { return p.error[p.at(item, c)] + price * p.time[p.at(item, c)]; };
    for (int c = 0; c < p.candidates; ++c) items[item].base = std::min(items[item].base, cost(c));
    for (int c = 0; c < p.candidates; ++c)
      if (cost(c) - items[item].base <= gap * kSlack)
        items[item].near.push_back(static_cast<std::uint16_t>(c));
  }
  return items;
}

/// One item decided otherwise: places of both decisions in the problem.
struct Move {
  std::size_t item;
  std::uint16_t to;
  std::size_t old_at, at;
};

std::vector<Move> moves_from(const Problem& p, const Assignment& from) {
  std::vector<Move> moves;
  for (std::size_t item = 0; item < from.size(); ++item)
    for (int c = 0; c < p.candidates; ++c)
      if (c != from[item])
        moves.push_back(
            {item, static_cast<std::uint16_t>(c), p.at(item, from[item]), p.at(item, c)});
  return moves;
}

/// Assignments one move away from a corner that lie between it and the next.
std::vector<Totals> one_move_away(const Problem& p, const Assignment& from, const Totals& low,
                                  const Totals& high) {
  std::vector<Totals> found;
  for (const Move& m : moves_from(p, from)) {
    const Totals moved{low.time - p.time[m.old_at] + p.time[m.at],
                       low.error - p.error[m.old_at] + p.error[m.at]};
    if (moved.time > low.time && moved.time < high.time && moved.error < low.error)
      found.push_back(moved);
  }
  return found;
}

/// The largest reduced cost a point between two corners can have and still beat what is known.
double gap_between(const Problem& p, const Assignment& assignment, const Totals& low,
                   const Totals& high, double price) {
  std::vector<Totals> known = one_move_away(p, assignment, low, high);
  known.push_back(high);
  std::sort(known.begin(), known.end(), [](const Totals& a, const Totals& b) {
    return a.time != b.time ? a.time < b.time : a.error < b.error;
  });
  const double floor = low.error + price * low.time;
  double gap = 0, least = low.error;
  for (const Totals& point : known) {
    gap = std::max(gap, least + price * point.time - floor);
    least = std::min(least, point.error);
  }
  return gap;
}

/// Every undominated assignment whose reduced cost is at most the gap. @return false: labels cut
bool enumerate(const Problem& p, double price, double gap, std::size_t most_labels,
               LabelArena& arena, std::vector<FrontPoint>& found) {
  const std::vector<Reduced> items = reduced_costs(p, price, gap);
  const double cost_of_unit = price * arena.unit();
  arena.clear();
  bool complete = true;
  Labels labels;
  for (const std::uint16_t c : items[0].near) labels.push_back(arena.start(c));
  double floor = items[0].base;
  for (std::size_t item = 1; item < items.size(); ++item) {
    Labels next;
    floor += items[item].base;
    for (const Label& label : labels)
      for (const std::uint16_t c : items[item].near) {
        const Label longer = arena.extend(label, item, c);
        const double above = longer.error + cost_of_unit * static_cast<double>(longer.time) - floor;
        if (above <= gap * kSlack + 1e-12 * floor) next.push_back(longer);
      }
    complete &= arena.keep(next, most_labels);
    labels = std::move(next);
  }
  for (const Label& label : labels) found.push_back(priced(p, arena.path(label)));
  return complete;
}

Front exact_front(const Problem& p, const Relaxation& hull, const GeneralOptions& options) {
  Front front;
  LabelArena arena(p);
  const auto corners = hull.corners();
  for (std::size_t k = 0; k < corners.size(); ++k) {
    Assignment assignment = hull.assignment(k);
    if (k + 1 < corners.size()) {
      const Totals& low = corners[k];
      const Totals& high = corners[k + 1];
      const double price = (low.error - high.error) / (high.time - low.time);
      const double gap = gap_between(p, assignment, low, high, price);
      if (!enumerate(p, price, gap, options.most_labels, arena, front.points)) front.exact = false;
    }
    front.points.push_back(priced(p, std::move(assignment)));
  }
  remove_beaten(front.points);
  return front;
}

/// The single move that lowers the error most within the time left.
bool move_one(const Problem& p, double budget, FrontPoint& point) {
  double best = 0;
  Move chosen{};
  for (const Move& m : moves_from(p, point.assignment)) {
    const double less = p.error[m.old_at] - p.error[m.at];
    if (less <= best || point.time - p.time[m.old_at] + p.time[m.at] > budget) continue;
    best = less;
    chosen = m;
  }
  if (best <= 0) return false;
  point.assignment[chosen.item] = chosen.to;
  const double before = point.error;
  point = priced(p, std::move(point.assignment));
  return point.error < before;
}

/// The pair of moves that lowers the error most: one item slower, another faster.
bool exchange_two(const Problem& p, double budget, FrontPoint& point) {
  const std::vector<Move> moves = moves_from(p, point.assignment);
  if (moves.size() * moves.size() > kMostExchanges) return false;
  std::vector<Totals> changes;
  for (const Move& m : moves)
    changes.push_back({p.time[m.at] - p.time[m.old_at], p.error[m.at] - p.error[m.old_at]});
  const double left = budget - point.time;
  double best = 0;
  const Move* pair[2] = {};
  for (std::size_t a = 0; a < moves.size(); ++a) {
    if (changes[a].error >= 0) continue;
    for (std::size_t b = 0; b < moves.size(); ++b)
      if (moves[b].item != moves[a].item && changes[a].time + changes[b].time <= left &&
          changes[a].error + changes[b].error < best) {
        best = changes[a].error + changes[b].error;
        pair[0] = &moves[a];
        pair[1] = &moves[b];
      }
  }
  if (!pair[0]) return false;
  Assignment changed = point.assignment;
  for (const Move* move : pair) changed[move->item] = move->to;
  FrontPoint next = priced(p, std::move(changed));
  if (next.time > budget || next.error >= point.error) return false;
  point = std::move(next);
  return true;
}

BudgetAnswer solve(const Problem& p, const Relaxation& hull, double budget) {
  BudgetAnswer answer{.point = priced(p, hull.assignment(hull.corner_within(budget))),
                      .bound = hull.bound(budget)};
  const double limit = budget * (1 + 1e-12);
  while (answer.point.error > answer.bound * (1 + kWorthwhile) &&
         (move_one(p, limit, answer.point) || exchange_two(p, limit, answer.point))) {
  }
  return answer;
}

Front searched_front(const Problem& p, const Relaxation& hull, const GeneralOptions& options) {
  Front front{.points = {}, .exact = false};
  const auto corners = hull.corners();
  const double begin = corners.front().time, end = corners.back().time;
  const std::size_t most = std::max<std::size_t>(options.most_points, 2);
  for (std::size_t i = 0; i < most; ++i) {
    const double budget =
        begin + (end - begin) * static_cast<double>(i) / static_cast<double>(most - 1);
    front.points.push_back(solve(p, hull, std::max(begin, budget)).point);
  }
  if (p.steps >= 3) {
    remove_beaten(front.points);
    std::vector<FrontPoint> better;
    for (const ThreePhases& phases : three_phase_front(p)) {
      const FrontPoint* ours = front.within(phases.time);
      if (ours && ours->error <= phases.error) continue;
      const std::size_t corner = hull.corner_within(phases.time);
      better.push_back(priced(p, corners[corner].error <= phases.error ? hull.assignment(corner)
                                                                       : assignment_of(phases, p)));
    }
    for (FrontPoint& point : better) front.points.push_back(std::move(point));
  }
  remove_beaten(front.points);
  return front;
}

}  // namespace

Front general_front(const Problem& problem, const GeneralOptions& options) {
  const Relaxation hull(problem);
  return problem.items() <= options.most_items ? exact_front(problem, hull, options)
                                               : searched_front(problem, hull, options);
}

BudgetAnswer solve_within(const Problem& problem, double budget) {
  return solve(problem, Relaxation(problem), budget);
}

}  // namespace karat::tune
