// Implementation of cost/recipe_table.hpp.
#include "cost/recipe_table.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/report/text.hpp"
#include "karat/tune/measured_problem.hpp"

namespace karat::cli {
namespace {

using hopper::Answer;
using report::print;

/// A preset's name stands for the preset alone: another recipe of that name has another error.
std::optional<double> error_of(const KnownErrors& errors, const recipe::Recipe& recipe) {
  const auto found = errors.of.find(recipe.name);
  if (found == errors.of.end()) return std::nullopt;
  const auto presets = recipe::preset_names();
  if (std::ranges::find(presets, recipe.name) != presets.end() &&
      !diff(recipe, recipe::preset(recipe.name)).empty())
    return std::nullopt;
  return found->second;
}

/// `a` is at least as fast and as exact as `b`, and better in one of them.
bool beats(const RecipeRow& a, const RecipeRow& b) {
  return a.time() <= b.time() && *a.error <= *b.error &&
         (a.time() < b.time() || *a.error < *b.error);
}

std::string bound_by(const Answer& answer) {
  const auto& savings = answer.cost.savings;
  if (savings.empty() || savings.front().ms <= 0) return "-";
  return print("%s %.0f %%", part_name(savings.front().part).c_str(),
               100 * savings.front().ms / answer.cost.time_ms);
}

std::string marks(const RecipeRow& row) {
  std::string text;
  for (const auto& [holds, word] : {std::pair{row.best, "best"}, std::pair{row.pareto, "Pareto"},
                                    std::pair{row.baseline, "baseline"}})
    if (holds) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

std::string about(const RecipeTable& table) {
  const Answer& first = table.rows.front().answer;
  std::string gpus;
  for (const RecipeRow& row : table.rows)
    if (row.baseline) gpus += (gpus.empty() ? "" : ", ") + row.answer.question.machine.name;
  const auto& shape = first.question.shape;
  std::string text =
      print("%lld tokens, %d heads of %d channels on %s, ", static_cast<long long>(shape.queries),
            shape.heads, shape.head_dim, gpus.c_str());
  text += first.run ? "by the time of a whole run" : "by the time of one layer, one forward";
  return text + "; ratios are " + table.baseline + "'s time over the recipe's\n";
}

std::string errors_text(const RecipeTable& table) {
  const bool any = std::ranges::any_of(table.rows, [](const RecipeRow& r) { return !!r.error; });
  if (!any) return "error: none of these recipes was measured by " + table.errors.source + "\n";
  return "error: relative, of attention's output, root mean square over the cells of " +
         table.errors.source +
         ", on that study's grid; \"-\" was not measured there and is no part of the Pareto "
         "front\n";
}

/// Recipes that are left out for one reason in one line.
std::string left_out_text(const std::vector<LeftOut>& left_out) {
  std::string text;
  std::set<std::string> told;
  for (const LeftOut& one : left_out) {
    if (!told.insert(one.why).second) continue;
    std::string names;
    for (const LeftOut& other : left_out)
      if (other.why == one.why) names += (names.empty() ? "" : ", ") + other.recipe;
    text += "left out: " + names + ": " + one.why + "\n";
  }
  return text;
}

}  // namespace

KnownErrors known_errors(const study::SensitivityTable& table, std::string source) {
  std::set<capture::Cell> cells;
  std::vector<std::size_t> counts(table.recipes.size(), 0);
  std::vector<double> squares(table.recipes.size(), 0);
  for (const study::Sensitivity& row : table.rows) {
    cells.insert(row.cell);
    const auto recipe = static_cast<std::size_t>(row.recipe);
    ++counts[recipe];
    squares[recipe] += row.error * row.error;
  }
  KnownErrors errors{.source = std::move(source), .of = {}};
  for (std::size_t r = 0; r < counts.size(); ++r)
    if (counts[r] > 0 && counts[r] == cells.size())
      errors.of[table.recipes[r]] = std::sqrt(squares[r] / static_cast<double>(counts[r]));
  return errors;
}

KnownErrors shipped_errors() {
  return known_errors(tune::builtin_sensitivity(), "the built-in study (docs/tune.md)");
}

std::vector<RecipeRow> compared(std::vector<Answer> answers, std::string_view baseline,
                                const KnownErrors& errors) {
  std::vector<RecipeRow> rows;
  for (Answer& answer : answers) {
    RecipeRow row{.error = error_of(errors, answer.question.recipe),
                  .baseline = answer.question.recipe.name == baseline};
    row.layer_ms = answer.cost.time_ms;
    for (const hopper::SideKernel& kernel : answer.around) row.layer_ms += kernel.ms;
    row.answer = std::move(answer);
    rows.push_back(std::move(row));
  }
  std::ranges::stable_sort(rows, {}, &RecipeRow::time);
  const double time = std::ranges::find_if(rows, &RecipeRow::baseline)->time();
  rows.front().best = true;
  for (RecipeRow& row : rows) {
    row.ratio = time / row.time();
    row.pareto = row.error && std::ranges::none_of(rows, [&](const RecipeRow& other) {
                   return other.error && beats(other, row);
                 });
  }
  return rows;
}

std::string to_text(const RecipeTable& table, report::TableStyle style) {
  using report::Align;
  const bool runs = table.rows.front().answer.run.has_value();
  const bool several = std::ranges::count_if(table.rows, &RecipeRow::baseline) > 1;
  report::Table out;
  if (several) out.columns.push_back({"GPU"});
  out.columns.insert(out.columns.end(),
                     {{"recipe"}, {"attention", Align::right}, {"with around it", Align::right}});
  if (runs) out.columns.push_back({"run", Align::right});
  out.columns.insert(out.columns.end(), {{"ratio", Align::right},
                                         {"density", Align::right},
                                         {"peak", Align::right},
                                         {"bound by"},
                                         {"error", Align::right},
                                         {""}});
  for (const RecipeRow& row : table.rows) {
    const hopper::AttentionCost& cost = row.answer.cost;
    std::vector<std::string> cells;
    if (several) cells.push_back(row.answer.question.machine.name);
    cells.insert(cells.end(), {row.answer.question.recipe.name, print("%.3f ms", cost.time_ms),
                               print("%.3f ms", row.layer_ms)});
    if (runs) cells.push_back(print("%.1f s", row.answer.run->run_s));
    cells.insert(cells.end(), {print("%.2fx", row.ratio), print("%.1f %%", 100 * cost.density),
                               print("%.0f %%", 100 * cost.peak_share), bound_by(row.answer),
                               row.error ? print("%.4f", *row.error) : "-", marks(row)});
    out.rows.push_back(std::move(cells));
  }
  return about(table) + report::to_text(out, style) + errors_text(table) +
         left_out_text(table.left_out);
}

files::Json to_json(const RecipeTable& table) {
  files::Json json{{"baseline", table.baseline},
                   {"by", table.rows.front().answer.run ? "run_s" : "layer_ms"},
                   {"errors", {{"source", table.errors.source}}},
                   {"recipes", files::Json::array()},
                   {"left_out", files::Json::array()}};
  for (const RecipeRow& row : table.rows) {
    files::Json one = hopper::to_json(row.answer);
    one["layer_ms"] = row.layer_ms;
    one["ratio"] = row.ratio;
    one["error"] = row.error ? files::Json(*row.error) : files::Json();
    one["best"] = row.best;
    one["pareto"] = row.pareto;
    one["baseline"] = row.baseline;
    json["recipes"].push_back(std::move(one));
  }
  for (const LeftOut& one : table.left_out)
    json["left_out"].push_back({{"recipe", one.recipe}, {"why", one.why}});
  return json;
}

}  // namespace karat::cli
