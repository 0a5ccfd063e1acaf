// The Lagrangian relaxation of the general problem: every item's own lower hull, merged by slope.
#include <algorithm>
#include <numeric>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/schedules.hpp"

namespace karat::tune {
namespace {

/// Candidates on an item's lower convex hull, the fastest first: time rises, error falls ever less.
std::vector<std::uint16_t> hull(const Problem& p, std::size_t item,
                                std::vector<std::uint16_t>& order) {
  const double* time = &p.time[p.at(item, 0)];
  const double* error = &p.error[p.at(item, 0)];
  std::iota(order.begin(), order.end(), std::uint16_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::uint16_t a, std::uint16_t b) {
    return time[a] != time[b] ? time[a] < time[b] : error[a] < error[b];
  });
  std::vector<std::uint16_t> kept;
  for (const std::uint16_t c : order) {
    if (!kept.empty() && error[c] >= error[kept.back()]) continue;
    const auto gain = [&](std::uint16_t a, std::uint16_t b) {
      return (error[a] - error[b]) / (time[b] - time[a]);
    };
    while (kept.size() > 1 && gain(kept[kept.size() - 2], kept.back()) <= gain(kept.back(), c))
      kept.pop_back();
    kept.push_back(c);
  }
  return kept;
}

}  // namespace

Relaxation::Relaxation(const Problem& problem) {
  validate(problem);
  struct Gain {
    double price;
    Step step;
    Totals change;
  };
  std::vector<Gain> gains;
  std::vector<std::uint16_t> order(static_cast<std::size_t>(problem.candidates));
  Totals totals;
  for (std::size_t item = 0; item < problem.items(); ++item) {
    const auto kept = hull(problem, item, order);
    fastest_.push_back(kept.front());
    totals.time += problem.time[problem.at(item, kept.front())];
    totals.error += problem.error[problem.at(item, kept.front())];
    for (std::size_t i = 1; i < kept.size(); ++i) {
      const std::size_t from = problem.at(item, kept[i - 1]), to = problem.at(item, kept[i]);
      const double longer = problem.time[to] - problem.time[from];
      const double less = problem.error[to] - problem.error[from];
      gains.push_back(
          {-less / longer, {static_cast<std::uint32_t>(item), kept[i]}, {longer, less}});
    }
  }
  std::stable_sort(gains.begin(), gains.end(),
                   [](const Gain& a, const Gain& b) { return a.price > b.price; });
  corners_.push_back(totals);
  for (const Gain& gain : gains) {
    totals.time += gain.change.time;
    totals.error += gain.change.error;
    path_.push_back(gain.step);
    corners_.push_back({totals.time, std::max(totals.error, 0.0)});
  }
}

Assignment Relaxation::assignment(std::size_t corner) const {
  Assignment out = fastest_;
  for (std::size_t i = 0; i < corner && i < path_.size(); ++i) out[path_[i].item] = path_[i].to;
  return out;
}

std::size_t Relaxation::corner_within(double budget) const {
  const auto after =
      std::upper_bound(corners_.begin(), corners_.end(), budget * (1 + 1e-12),
                       [](double value, const Totals& corner) { return value < corner.time; });
  if (after == corners_.begin())
    throw Error(ErrorKind::usage, "budget", "is below the time of the fastest schedule",
                "allow more time, or add a faster candidate");
  return static_cast<std::size_t>(after - corners_.begin()) - 1;
}

double Relaxation::bound(double budget) const {
  const std::size_t k = corner_within(budget);
  if (k + 1 == corners_.size()) return corners_[k].error;
  const double longer = corners_[k + 1].time - corners_[k].time;
  const double share = longer > 0 ? (budget - corners_[k].time) / longer : 0;
  return corners_[k].error +
         std::clamp(share, 0.0, 1.0) * (corners_[k + 1].error - corners_[k].error);
}

}  // namespace karat::tune
