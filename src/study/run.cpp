// Jobs beside each other, results in order.
#include "karat/study/run.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/recipe/json.hpp"

namespace karat::study {
namespace {

constexpr int kMeaning = 1;  // raised when figures of the same study change their values

}  // namespace

std::string_view to_string(cases::GradientOrigin origin) {
  switch (origin) {
    case cases::GradientOrigin::given:
      return "given";
    case cases::GradientOrigin::generated:
      return "generated";
    case cases::GradientOrigin::none:
      break;
  }
  return "none";
}

StudyIdentity identity_of(const capture::Source& source, const std::vector<recipe::Recipe>& recipes,
                          const MeasureOptions& options) {
  files::Json json{{"meaning", kMeaning},
                   {"source", source.identity()},
                   {"recipes", files::Json::array()},
                   {"rows", options.sample.rows},
                   {"draws", options.sample.draws},
                   {"seed", options.sample.seed},
                   {"taken_apart", options.taken_apart}};
  if (options.pass == Pass::backward) json["pass"] = to_string(options.pass);
  for (const auto& recipe : recipes)
    json["recipes"].push_back(files::Json::parse(recipe::to_json(recipe, recipe::JsonStyle::line)));
  const std::string text = json.dump();
  return {text, files::sha256_hex(std::as_bytes(std::span(text)))};
}

StudyResult run(const capture::Source& source, const Workbench& bench,
                const StudyIdentity& identity, Journal& journal, const RunOptions& options) {
  std::map<capture::Job, JobResult> results;
  for (const JobResult& job : journal.finished()) results[job.job] = job;
  std::vector<capture::Job> open;
  for (const capture::Job& job : source.facts().jobs)
    if (!results.contains(job)) open.push_back(job);
  const std::size_t total = source.facts().jobs.size() * bench.steps_per_job();
  std::atomic<std::size_t> done =
      (source.facts().jobs.size() - open.size()) * bench.steps_per_job();
  const auto step = [&] {
    const std::size_t now = ++done;
    if (options.progress) options.progress(std::min(now, total), total);
  };
  std::mutex mutex;
  numerics::parallel_for(open.size(), options.threads, [&](std::size_t i, int) {
    JobResult job = bench.measure(open[i], 1, step);
    const std::lock_guard lock(mutex);
    journal.append(job);
    results[job.job] = std::move(job);
  });

  std::vector<JobResult> jobs;
  for (auto& [job, measured] : results) jobs.push_back(std::move(measured));
  return assemble(source, bench.recipes(), bench.pass(), identity, std::move(jobs));
}

StudyResult assemble(const capture::Source& source, const std::vector<recipe::Recipe>& recipes,
                     Pass pass, const StudyIdentity& identity, std::vector<JobResult> jobs) {
  using cases::GradientOrigin;
  const bool given = source.facts().output_gradient == GradientOrigin::given;
  StudyResult result{.identity = identity,
                     .origin = source.facts().origin,
                     .steps = source.facts().steps,
                     .sigma = source.facts().sigma,
                     .guidance = source.facts().guidance,
                     .pass = pass,
                     .output_gradient = pass == Pass::forward ? GradientOrigin::none
                                        : given               ? GradientOrigin::given
                                                              : GradientOrigin::generated,
                     .recipes = {},
                     .jobs = std::move(jobs),
                     .head_kinds = {}};
  for (const auto& recipe : recipes) result.recipes.push_back(recipe.name);
  for (const JobResult& job : result.jobs) result.head_kinds.push_back(source.head_kind(job.job));
  return result;
}

SensitivityTable sensitivity(const StudyResult& result) {
  SensitivityTable table{.origin = result.origin,
                         .steps = result.steps,
                         .sigma = result.sigma,
                         .recipes = result.recipes,
                         .rows = {}};
  for (const JobResult& job : result.jobs) {
    std::map<std::int32_t, double> guided;
    for (const Figure& f : job.figures)
      if (f.quantity == Measure::guided) guided[f.recipe] = f.value;
    for (const video::Branch branch : {video::Branch::conditional, video::Branch::unconditional})
      for (const Figure& f : job.figures) {
        if (f.quantity != Measure::both || f.branch != branch) continue;
        Sensitivity row{.cell = cell_of(job.job, branch),
                        .recipe = f.recipe,
                        .error = f.value,
                        .sampling_error = f.standard_error};
        if (guided.contains(f.recipe)) row.guided_error = guided[f.recipe];
        table.rows.push_back(row);
      }
  }
  validate(table, "study");
  return table;
}

}  // namespace karat::study
