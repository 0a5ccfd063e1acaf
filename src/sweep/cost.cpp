// Estimates.
#include "karat/sweep/cost.hpp"

#include "karat/case/backward.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {
namespace {

constexpr double kAllTruthRows = 32768;  // up to so many tokens a golden file holds every row
constexpr double kSomeTruthRows = 512;

}  // namespace

HeadWork::Answer HeadWork::of(const recipe::Recipe& recipe, const layout::Setting& setting) {
  const std::string key = recipe.name + " " + video::to_string(setting.grid) + "+" +
                          std::to_string(setting.text) + "x" + std::to_string(setting.channels);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  const auto tokens = static_cast<double>(setting.tokens());
  Answer answer;
  answer.dense = answer.sparse = 2 * tokens * tokens * static_cast<double>(setting.channels);
  try {
    answer.sparse = layout::make_layout(recipe, setting).multiply_adds();
  } catch (const Error&) {
    // a predicted mask, or one that comes with the case: known only with its head
  }
  return known_[key] = answer;
}

Cost golden_cost(const HeadWork::Answer& head, const layout::Setting& setting, double heads,
                 bool backward) {
  const auto tokens = static_cast<double>(setting.tokens());
  const auto channels = static_cast<double>(setting.channels);
  const double rows = tokens <= kAllTruthRows ? tokens : kSomeTruthRows;
  const double truth = rows / tokens * (head.dense + head.sparse);
  const double values = tokens * channels;
  const double attention = head.sparse * (backward ? 1 + cases::kBackwardWork : 1);
  // q, k, v and their codes, o, and both its bounds; truth of two masks in f64.
  const double bytes = values * (9 + 2 + 4) * (backward ? 2 : 1) + 2 * rows * channels * 8 + 3e5;
  return {.multiply_adds = heads * (attention + truth),
          .seconds = heads * (attention / kRates.golden + truth / kRates.truth +
                              3 * values / kRates.values),
          .bytes = heads * bytes};
}

}  // namespace karat::sweep
