// Schedules as others choose them: one recipe, a dense warm-up, STA's search.
#include <algorithm>
#include <numeric>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/schedules.hpp"

namespace karat::tune {
namespace {

void require_candidate(const Problem& problem, int candidate) {
  if (candidate < 0 || candidate >= problem.candidates)
    throw Error(ErrorKind::usage, "candidate " + std::to_string(candidate), "is none of the list",
                "give a place in it");
}

std::size_t warm_items(const Problem& problem, int warm_up) {
  if (warm_up < 0 || warm_up > problem.steps)
    throw Error(ErrorKind::usage, "warm-up",
                std::to_string(warm_up) + " steps of " + std::to_string(problem.steps),
                "give 0 to all of them");
  return static_cast<std::size_t>(warm_up) * static_cast<std::size_t>(problem.groups);
}

}  // namespace

Front uniform_front(const Problem& problem) { return warm_up_front(problem, 0, 0); }

Front warm_up_front(const Problem& problem, int dense, int warm_up) {
  validate(problem);
  require_candidate(problem, dense);
  const std::size_t warm = warm_items(problem, warm_up);
  Front front;
  for (int c = 0; c < problem.candidates; ++c) {
    Assignment assignment(problem.items(), static_cast<std::uint16_t>(c));
    std::fill_n(assignment.begin(), warm, static_cast<std::uint16_t>(dense));
    front.points.push_back(priced(problem, std::move(assignment)));
  }
  remove_beaten(front.points);
  return front;
}

Front sta_search_front(const Problem& problem, int dense, int warm_up,
                       std::span<const int> searched) {
  validate(problem);
  require_candidate(problem, dense);
  for (const int c : searched) require_candidate(problem, c);
  const std::size_t warm = warm_items(problem, warm_up);
  std::vector<double> total(static_cast<std::size_t>(problem.candidates), 0);
  for (std::size_t item = 0; item < problem.items(); ++item)
    for (const int c : searched)
      total[static_cast<std::size_t>(c)] += problem.time[problem.at(item, c)];
  std::vector<int> fastest_first(searched.begin(), searched.end());
  std::stable_sort(fastest_first.begin(), fastest_first.end(), [&](int a, int b) {
    return total[static_cast<std::size_t>(a)] < total[static_cast<std::size_t>(b)];
  });
  Front front;
  for (std::size_t allowed = 1; allowed <= fastest_first.size(); ++allowed) {
    Assignment assignment(problem.items(), static_cast<std::uint16_t>(dense));
    for (std::size_t item = warm; item < problem.items(); ++item) {
      const auto error = [&](int c) { return problem.error[problem.at(item, c)]; };
      const auto best = std::min_element(
          fastest_first.begin(), fastest_first.begin() + static_cast<std::ptrdiff_t>(allowed),
          [&](int a, int b) { return error(a) < error(b); });
      assignment[item] = static_cast<std::uint16_t>(*best);
    }
    front.points.push_back(priced(problem, std::move(assignment)));
  }
  remove_beaten(front.points);
  return front;
}

}  // namespace karat::tune
