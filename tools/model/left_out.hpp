// Every source of rows judged by constants that never saw it.
#pragma once

#include <cmath>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fit.hpp"

namespace karat::hopper {

inline constexpr int kNewtonSteps = 20;

/// One line of the table for the constants that the library holds and for those of a fit without
/// its source.
struct LeftOutGroup {
  Group with;          ///< by the library's constants
  double without = 0;  ///< mean error
  /// Root mean square over the rows of what the other rows leave open in their predictions: the
  /// spread that the constants' own spreads make. An error of this size is no surprise.
  double spread = 0;

  double times() const { return without / with.errors.mean(); }
  double times_noise() const { return times_of_noise(with.errors.mean(), without, with.noise); }
};

inline constexpr const char* kLeftOutColumns = " left out | times | of noise | spread |";

inline std::string line_of(const LeftOutGroup& g) {
  return line_of(g.with) + report::print(" %.1f %% | %.1f | %.1f | %.1f %% |", 100 * g.without,
                                         g.times(), g.times_noise(), 100 * g.spread);
}

struct LeftOutSource {
  std::string name;
  std::vector<LeftOutGroup> groups;
  /// Constants that the others leave with 1.5 times the spread that all rows leave, or more.
  std::vector<std::string_view> lost;
};

inline double spread_of(Fit& fit, const Fit::Held& held,
                        const std::vector<const MeasuredRow*>& rows) {
  double sum = 0;
  for (const MeasuredRow* row : rows) {
    const std::vector<double> slopes = fit.slopes(*row);
    for (std::size_t i = 0; i < slopes.size(); ++i)
      for (std::size_t j = 0; j < slopes.size(); ++j)
        sum += slopes[i] * held.covariance[i][j] * slopes[j];
  }
  return std::sqrt(sum / static_cast<double>(rows.size()));
}

inline LeftOutSource leave_out(const std::vector<MeasuredRow>& rows, const std::string& source,
                               const std::vector<Group>& with, const Fit::Held& held_by_all) {
  Fit fit(rows, source, Fit::Start::priors);
  fit.newton(kNewtonSteps);
  const Fit::Held held = fit.held();
  LeftOutSource out{.name = source};
  const std::vector<Group> without = groups(rows, fit.model);
  for (std::size_t i = 0; i < without.size(); ++i) {
    if (!without[i].name.starts_with(source + ",")) continue;
    std::vector<const MeasuredRow*> members;
    for (const MeasuredRow& row : rows)
      if (row.has_plan && group_name(row) == without[i].name) members.push_back(&row);
    out.groups.push_back({.with = with[i],
                          .without = without[i].errors.mean(),
                          .spread = spread_of(fit, held, members)});
  }
  for (std::size_t i = 0; i < fit.values().size(); ++i)
    if (held.spread[i] >= 1.5 * held_by_all.spread[i])
      out.lost.push_back(fit.values()[i].prior->name);
  return out;
}

inline std::vector<LeftOutSource> leave_sources_out(const std::vector<MeasuredRow>& rows) {
  const std::vector<Group> with = groups(rows, model_of(rows));
  const Fit::Held held = Fit(rows, "", Fit::Start::printed).held();
  std::set<std::string> sources;
  for (const MeasuredRow& row : rows)
    if (row.has_plan) sources.insert(row.source);
  std::vector<LeftOutSource> out;
  for (const std::string& source : sources) out.push_back(leave_out(rows, source, with, held));
  return out;
}

}  // namespace karat::hopper
