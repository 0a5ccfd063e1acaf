// Averages over cells, and ratios of the errors of one cell.
#include "karat/study/summary.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace karat::study {
namespace {

constexpr std::uint64_t kSeed = 7;  // of the bootstrap: a result has one interval
constexpr double kNothing = 1e-9;   // errors below are rounding of the truth itself

bool matches(const Where& where, const StudyResult& result, std::size_t job) {
  return (!where.step || *where.step == result.jobs[job].job.step) &&
         (where.head_kind.empty() || where.head_kind == result.head_kinds[job]);
}

double value_of(const JobResult& job, std::int32_t recipe, video::Branch branch,
                Quantity quantity) {
  for (const Figure& f : job.figures)
    if (f.recipe == recipe && f.branch == branch && f.quantity == quantity) return f.value;
  return std::numeric_limits<double>::quiet_NaN();
}

double amplification_of(const JobResult& job, std::int32_t recipe, video::Branch branch,
                        Amplification form) {
  const auto value = [&](Measure measure) { return value_of(job, recipe, branch, measure); };
  const bool guided = form == Amplification::guided_sum || form == Amplification::guided_rss;
  if (form == Amplification::conditional)
    return value(Measure::fp8_given_mask) / value(Measure::fp8);
  const double both = value(guided ? Measure::guided : Measure::both),
               mask = value(guided ? Measure::guided_mask : Measure::mask),
               fp8 = value(guided ? Measure::guided_fp8 : Measure::fp8);
  if (!(mask > kNothing) || !(fp8 > kNothing)) return std::numeric_limits<double>::quiet_NaN();
  const bool sum = form == Amplification::sum || form == Amplification::guided_sum;
  return both / (sum ? mask + fp8 : std::sqrt(mask * mask + fp8 * fp8));
}

}  // namespace

std::string_view to_string(Amplification form) {
  constexpr std::string_view kNames[] = {"sum", "rss", "conditional", "guided_sum", "guided_rss"};
  return kNames[static_cast<int>(form)];
}

std::optional<statistics::Average> average(const StudyResult& result, std::int32_t recipe,
                                           Quantity quantity, const Where& where) {
  std::vector<statistics::Observation> all;
  for (std::size_t j = 0; j < result.jobs.size(); ++j)
    for (const Figure& f : result.jobs[j].figures)
      if (f.recipe == recipe && f.quantity == quantity && matches(where, result, j))
        all.push_back({result.jobs[j].job.prompt, f.value});
  if (all.empty()) return std::nullopt;
  return statistics::bootstrap_mean(all, kSeed);
}

std::optional<statistics::Average> amplification(const StudyResult& result, std::int32_t recipe,
                                                 Amplification form) {
  std::vector<statistics::Observation> all;
  for (const JobResult& job : result.jobs)
    for (const video::Branch branch : {video::Branch::conditional, video::Branch::unconditional}) {
      const double value = amplification_of(job, recipe, branch, form);
      if (std::isfinite(value) && value > 0) all.push_back({job.job.prompt, value});
    }
  if (all.empty()) return std::nullopt;
  return statistics::bootstrap_geometric_mean(all, kSeed);
}

Summary summarise(const StudyResult& result) {
  Summary summary;
  std::set<int> steps, prompts;
  for (const JobResult& job : result.jobs) {
    steps.insert(job.job.step);
    prompts.insert(job.job.prompt);
  }
  summary.prompts = static_cast<int>(prompts.size());
  for (std::int32_t r = 0; r < std::ssize(result.recipes); ++r) {
    RecipeSummary recipe{
        .recipe = r, .name = result.recipes[r], .swept = swept_value(result.recipes[r])};
    std::vector<Quantity> measured;
    for (const Figure& f : result.jobs.front().figures)
      if (f.recipe == r && std::ranges::find(measured, f.quantity) == measured.end())
        measured.push_back(f.quantity);
    for (const Quantity quantity : measured)
      if (const auto interval = average(result, r, quantity))
        recipe.quantities.push_back({quantity, *interval});
    for (const Amplification form : kAmplifications)
      if (const auto interval = amplification(result, r, form))
        recipe.amplifications.push_back({form, *interval});
    for (const int step : steps)
      if (const auto interval = average(result, r, Measure::both, {.step = step}))
        recipe.steps.push_back({step, result.sigma[step], *interval});
    summary.recipes.push_back(std::move(recipe));
  }
  return summary;
}

}  // namespace karat::study
