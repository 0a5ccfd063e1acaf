// The rules of a sensitivity table.
#include "karat/study/sensitivity.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "karat/numerics/base/error.hpp"

namespace karat::study {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::input_output, subject, problem, "let karat study write the table again");
}

std::string place(const SensitivityTable& table, const Sensitivity& row) {
  const capture::Cell& c = row.cell;
  return "prompt " + std::to_string(c.prompt) + ", step " + std::to_string(c.step) + ", layer " +
         std::to_string(c.layer) + ", head " + std::to_string(c.head) + ", " +
         std::string(to_string(c.branch)) + ", " + table.recipes[row.recipe];
}

}  // namespace

void validate(const SensitivityTable& table, const std::string& subject) {
  if (table.rows.empty()) refuse(subject, "holds no measured cell");
  if (table.steps < 1 || table.sigma.size() != static_cast<std::size_t>(table.steps))
    refuse(subject, "has " + std::to_string(table.sigma.size()) + " noise levels for " +
                        std::to_string(table.steps) + " steps");
  const std::set<std::string> names(table.recipes.begin(), table.recipes.end());
  if (names.size() != table.recipes.size()) refuse(subject, "names a recipe twice");
  const Sensitivity* before = nullptr;
  for (const Sensitivity& row : table.rows) {
    const capture::Cell& c = row.cell;
    if (row.recipe < 0 || row.recipe >= std::ssize(table.recipes) || c.prompt < 0 || c.step < 0 ||
        c.step >= table.steps || c.layer < 0 || c.head < 0)
      refuse(subject, "has a row out of range (step " + std::to_string(c.step) + ", recipe " +
                          std::to_string(row.recipe) + ")");
    const auto good = [](double x) { return std::isfinite(x) && x >= 0; };
    if (!good(row.error) || !good(row.sampling_error) ||
        !(good(row.guided_error) || std::isnan(row.guided_error)))
      refuse(subject, "has an error that is no number from 0 at " + place(table, row));
    if (before != nullptr && std::tie(before->cell, before->recipe) >= std::tie(c, row.recipe))
      refuse(subject, "has a row twice or out of order: " + place(table, row));
    before = &row;
  }
}

}  // namespace karat::study
