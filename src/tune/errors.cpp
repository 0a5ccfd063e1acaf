// From a study's table to a squared error for every step, group and candidate.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "between.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/tune/measured_problem.hpp"

namespace karat::tune {
namespace {

using Group = std::pair<std::int32_t, std::int32_t>;  // layer, head; -1: all

Group group_of(const capture::Cell& cell, Decide decide) {
  return {decide == Decide::layer || decide == Decide::cell ? cell.layer : -1,
          decide == Decide::head || decide == Decide::cell ? cell.head : -1};
}

std::string name_of(Group group) {
  std::string name;
  if (group.first >= 0) name = "layer " + std::to_string(group.first);
  if (group.second >= 0)
    name += (name.empty() ? "head " : ", head ") + std::to_string(group.second);
  return name.empty() ? "all heads" : name;
}

/// What `key` makes of the table's rows, each value once, ascending.
template <class Key>
auto distinct(const study::SensitivityTable& table, const Key& key) {
  std::vector<decltype(key(table.rows.front().cell))> keys;
  for (const study::Sensitivity& row : table.rows) keys.push_back(key(row.cell));
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

template <class Key>
std::size_t place_of(const Key& key, const std::vector<Key>& keys) {
  return static_cast<std::size_t>(std::ranges::lower_bound(keys, key) - keys.begin());
}

/// Sums of squares over the rows that fall together.
struct SquareSums {
  double plain = 0, guided = 0;
  int rows = 0;
};

/// The study's rows as a dense array [seed][measured step][group][candidate].
struct Measured {
  std::vector<std::int32_t> seeds, steps;
  std::vector<Group> groups;
  std::size_t candidates = 0;
  std::vector<SquareSums> sums;
  bool guided = true;

  std::size_t at(std::size_t seed, std::size_t step, std::size_t group, std::size_t c) const {
    return ((seed * steps.size() + step) * groups.size() + group) * candidates + c;
  }
};

/// @param place index of each of the table's recipes among the candidates, or -1
Measured collect(const study::SensitivityTable& table, const std::vector<int>& place,
                 std::size_t candidates, Decide decide) {
  const auto group = [&](const capture::Cell& cell) { return group_of(cell, decide); };
  Measured m{.seeds = distinct(table, [](const capture::Cell& cell) { return cell.prompt; }),
             .steps = distinct(table, [](const capture::Cell& cell) { return cell.step; }),
             .groups = distinct(table, group),
             .candidates = candidates,
             .sums = {}};
  m.sums.resize(m.seeds.size() * m.steps.size() * m.groups.size() * candidates);
  for (const study::Sensitivity& row : table.rows) {
    const int c = place[static_cast<std::size_t>(row.recipe)];
    if (c < 0) continue;
    SquareSums& sum =
        m.sums[m.at(place_of(row.cell.prompt, m.seeds), place_of(row.cell.step, m.steps),
                    place_of(group(row.cell), m.groups), static_cast<std::size_t>(c))];
    sum.plain += row.error * row.error;
    sum.guided += row.guided_error * row.guided_error;
    ++sum.rows;
    if (std::isnan(row.guided_error)) m.guided = false;
  }
  return m;
}

/// The first cell that some candidate lacks, in words.
std::optional<std::string> missing_cell(const Measured& m, std::span<const std::string> recipes) {
  for (std::size_t seed = 0; seed < m.seeds.size(); ++seed)
    for (std::size_t step = 0; step < m.steps.size(); ++step)
      for (std::size_t group = 0; group < m.groups.size(); ++group) {
        int most = 1;
        for (std::size_t c = 0; c < m.candidates; ++c)
          most = std::max(most, m.sums[m.at(seed, step, group, c)].rows);
        for (std::size_t c = 0; c < m.candidates; ++c)
          if (m.sums[m.at(seed, step, group, c)].rows < most)
            return "step " + std::to_string(m.steps[step]) + ", " + name_of(m.groups[group]) +
                   ", prompt " + std::to_string(m.seeds[seed]) + " under " + recipes[c];
      }
  return {};
}

std::vector<Between> run_places(const study::SensitivityTable& table, const Measured& m, int steps,
                                std::span<const double> sigma) {
  bool by_sigma = !sigma.empty();
  for (const int step : m.steps)
    by_sigma = by_sigma && std::isfinite(table.sigma[static_cast<std::size_t>(step)]);
  // Ascending coordinates: noise falls from step to step.
  std::vector<double> known, wanted;
  for (const int step : m.steps)
    known.push_back(by_sigma ? -table.sigma[static_cast<std::size_t>(step)]
                             : (step + 0.5) / table.steps);
  for (int step = 0; step < steps; ++step)
    wanted.push_back(by_sigma ? -sigma[static_cast<std::size_t>(step)] : (step + 0.5) / steps);
  return places_between(known, wanted);
}

std::vector<int> candidate_places(const study::SensitivityTable& table,
                                  std::span<const std::string> recipes,
                                  const std::string& subject) {
  if (recipes.empty())
    throw Error(ErrorKind::usage, "candidates", "the list is empty", "name at least one recipe");
  std::vector<int> place(table.recipes.size(), -1);
  for (std::size_t c = 0; c < recipes.size(); ++c) {
    const auto at = std::find(table.recipes.begin(), table.recipes.end(), recipes[c]);
    if (at == table.recipes.end()) {
      std::string known;
      for (const std::string& name : table.recipes) known += (known.empty() ? "" : ", ") + name;
      throw Error(ErrorKind::usage, subject, "did not measure recipe " + recipes[c],
                  "it has " + known);
    }
    int& slot = place[static_cast<std::size_t>(at - table.recipes.begin())];
    if (slot >= 0)
      throw Error(ErrorKind::usage, "candidates", recipes[c] + " is named twice", "name it once");
    slot = static_cast<int>(c);
  }
  return place;
}

/// The steps before the first and after the last measured one are no more than lie between two
/// neighbours elsewhere; they take the end's error.
void require_ends(const study::SensitivityTable& table, const Measured& m,
                  const std::string& subject) {
  const auto& steps = m.steps;
  int widest = 0;
  for (std::size_t i = 1; i < steps.size(); ++i)
    widest = std::max(widest, steps[i] - steps[i - 1] - 1);
  const int missing = std::max(steps.front(), table.steps - 1 - steps.back());
  if (missing <= widest) return;
  throw Error(ErrorKind::usage, subject,
              "measures steps " + std::to_string(steps.front()) + " to " +
                  std::to_string(steps.back()) + " of 0 to " + std::to_string(table.steps - 1),
              "measure the first and the last step too");
}

/// Growth of the squared error by guidance, per measured step.
std::vector<double> guidance_of(const Measured& m) {
  std::vector<double> growth;
  for (std::size_t step = 0; step < m.steps.size(); ++step) {
    double plain = 0, guided = 0;
    for (std::size_t seed = 0; seed < m.seeds.size(); ++seed)
      for (std::size_t rest = 0; rest < m.groups.size() * m.candidates; ++rest) {
        const SquareSums& sum = m.sums[m.at(seed, step, 0, 0) + rest];
        plain += sum.plain;
        guided += sum.guided;
      }
    growth.push_back(plain > 0 ? guided / plain : 1);
  }
  return growth;
}

}  // namespace

std::string_view to_string(Decide decide) {
  constexpr std::array<std::string_view, 4> kNames{"step", "layer", "head", "cell"};
  return kNames[static_cast<std::size_t>(decide)];
}

Decide finest_decision(const study::SensitivityTable& table) {
  std::vector<int> place;
  for (std::size_t i = 0; i < table.recipes.size(); ++i) place.push_back(static_cast<int>(i));
  for (const Decide decide : {Decide::cell, Decide::head, Decide::layer})
    if (!missing_cell(collect(table, place, place.size(), decide), table.recipes)) return decide;
  return Decide::step;
}

StepErrors step_errors(const study::SensitivityTable& table, std::span<const std::string> recipes,
                       Decide decide, int steps, std::span<const double> sigma,
                       const std::string& subject) {
  const std::vector<int> place = candidate_places(table, recipes, subject);
  const Measured m = collect(table, place, recipes.size(), decide);
  require_ends(table, m, subject);
  if (const auto missing = missing_cell(m, recipes))
    throw Error(
        ErrorKind::usage, subject, "lacks " + *missing,
        "complete the study, leave the recipe out, or decide by coarser groups (--per step)");
  StepErrors out{.steps = steps,
                 .groups = static_cast<int>(m.groups.size()),
                 .candidates = static_cast<int>(recipes.size()),
                 .seeds = static_cast<int>(m.seeds.size()),
                 .measured = m.steps,
                 .study_steps = table.steps};
  for (const Group& group : m.groups) {
    out.group_names.push_back(name_of(group));
    out.group_layers.push_back(group.first);
    out.group_heads.push_back(group.second);
  }
  const std::vector<Between> where = run_places(table, m, steps, sigma);
  out.squared.reserve(m.seeds.size() * where.size() * m.groups.size() * m.candidates);
  for (std::size_t seed = 0; seed < m.seeds.size(); ++seed)
    for (const Between& b : where)
      for (std::size_t group = 0; group < m.groups.size(); ++group)
        for (std::size_t c = 0; c < m.candidates; ++c) {
          const auto mean = [&](std::size_t step) {
            const SquareSums& sum = m.sums[m.at(seed, step, group, c)];
            return sum.plain / sum.rows;
          };
          out.squared.push_back(between(mean(b.low), mean(b.high), b.share));
        }
  if (m.guided) {
    const std::vector<double> growth = guidance_of(m);
    for (const Between& b : where)
      out.guidance.push_back(between(growth[b.low], growth[b.high], b.share));
  }
  return out;
}

}  // namespace karat::tune
