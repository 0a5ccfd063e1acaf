// Averages over cells, and ratios of the errors of one cell.
#include "karat/study/summary.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace karat::study {
namespace {

constexpr std::uint64_t kSeed = 7;  // of the bootstrap: a result has one interval
constexpr double kNothing = 1e-9;   // errors below are rounding of the truth itself
constexpr double kRounding = 1e-5;  // errors of a part below are f32's, in every rung

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

/// The relative L2 error of what is amplified.
Quantity error_of(const AmplificationOf& of, Measure measure) {
  if (of.output == Output::o) return measure;
  return Quantity::of_gradient(of.output, Metric::relative_l2, measure,
                               of.part.value_or(GradientPart{}));
}

double amplification_of(const JobResult& job, std::int32_t recipe, video::Branch branch,
                        const AmplificationOf& of) {
  const auto value = [&](Measure measure) {
    return value_of(job, recipe, branch, error_of(of, measure));
  };
  const Amplification form = of.form;
  const bool guided = form == Amplification::guided_sum || form == Amplification::guided_rss;
  if (form == Amplification::conditional) {
    const double given = value(of.part ? Measure::alone : Measure::fp8_given_mask),
                 dense = value(of.part ? Measure::alone_dense : Measure::fp8);
    // What leaves a gradient alone errs by the rounding of f32, which says nothing.
    const bool rounding = of.part && !(given > kRounding && dense > kRounding);
    return rounding ? std::numeric_limits<double>::quiet_NaN() : given / dense;
  }
  const double both = value(guided ? Measure::guided : Measure::both),
               mask = value(guided ? Measure::guided_mask : Measure::mask),
               fp8 = value(guided ? Measure::guided_fp8 : Measure::fp8);
  if (!(mask > kNothing) || !(fp8 > kNothing)) return std::numeric_limits<double>::quiet_NaN();
  const bool sum = form == Amplification::sum || form == Amplification::guided_sum;
  return both / (sum ? mask + fp8 : std::sqrt(mask * mask + fp8 * fp8));
}

/// Errors of the whole recipe.
std::vector<std::pair<Output, Quantity>> both_of(Pass pass) {
  if (pass == Pass::forward) return {{Output::o, Measure::both}};
  std::vector<std::pair<Output, Quantity>> all;
  for (const Output output : kGradients)
    all.push_back({output, Quantity::of_gradient(output, Metric::relative_l2, Measure::both)});
  return all;
}

/// All that a study of this pass may have.
std::vector<AmplificationOf> amplifications_of(Pass pass) {
  std::vector<AmplificationOf> all;
  if (pass == Pass::forward) {
    all.assign(std::begin(kAmplifications), std::end(kAmplifications));
    return all;
  }
  for (const Output output : kGradients) {
    for (const Amplification form :
         {Amplification::sum, Amplification::rss, Amplification::conditional})
      all.push_back({form, output});
    for (const GradientPartRow& row : gradient_parts())
      if (row.stands == Stands::alone)
        all.push_back({Amplification::conditional, output, row.part});
  }
  return all;
}

}  // namespace

std::string_view to_string(Amplification form) {
  constexpr std::string_view kNames[] = {"sum", "rss", "conditional", "guided_sum", "guided_rss"};
  return kNames[static_cast<int>(form)];
}

std::string to_string(const AmplificationOf& of) {
  std::string name;
  if (of.output != Output::o) name.append(to_string(of.output)).append(".");
  name.append(to_string(of.form));
  if (of.part) name.append(".").append(to_string(*of.part));
  return name;
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
                                                 const AmplificationOf& of) {
  std::vector<statistics::Observation> all;
  for (const JobResult& job : result.jobs)
    for (const video::Branch branch : {video::Branch::conditional, video::Branch::unconditional}) {
      const double value = amplification_of(job, recipe, branch, of);
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
    for (const AmplificationOf& of : amplifications_of(result.pass))
      if (const auto interval = amplification(result, r, of))
        recipe.amplifications.push_back({of, *interval});
    for (const int step : steps) {
      StepPoint point{.step = step, .sigma = result.sigma[step], .errors = {}};
      for (const auto& [output, both] : both_of(result.pass))
        if (const auto interval = average(result, r, both, {.step = step}))
          point.errors.push_back({output, *interval});
      if (!point.errors.empty()) recipe.steps.push_back(point);
    }
    summary.recipes.push_back(std::move(recipe));
  }
  return summary;
}

}  // namespace karat::study
