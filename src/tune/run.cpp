// A tuning from request to result.
#include "karat/tune/run.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "fronts.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::tune {
namespace {

constexpr std::array<std::string_view, 6> kKinds{"three_phase", "general",      "general_by_step",
                                                 "uniform",     "dense_warmup", "sta_search"};

/// The candidates, with a dense 16-bit preset of the study behind them if none of them is dense.
void choose_recipes(const Request& request, Result& result) {
  result.recipes = request.candidates;
  result.candidates = request.candidates.size();
  for (std::size_t c = 0; c < result.candidates && !result.dense; ++c)
    if (dense_16_bit(result.recipes[c])) result.dense = c;
  if (result.dense) return;
  const auto presets = recipe::preset_names();
  for (const std::string& name : request.table.recipes) {
    if (std::find(presets.begin(), presets.end(), name) == presets.end()) continue;
    recipe::Recipe recipe = recipe::preset(name);
    if (!dense_16_bit(recipe)) continue;
    result.dense = result.recipes.size();
    result.recipes.push_back(std::move(recipe));
    result.notes.push_back(name +
                           " serves the baselines as their dense recipe; it is no candidate.");
    return;
  }
  result.notes.push_back(
      "No dense 16-bit recipe was measured: dense_warmup and sta_search are left out.");
}

void choose_weights(const Request& request, Result& result) {
  const int steps = request.run.steps;
  result.weights.push_back(uniform_weights(steps));
  if (!result.sigma.empty()) {
    result.weights.push_back(sampler_weights(result.sigma));
    if (!result.errors.guidance.empty())
      result.weights.push_back(propagation_weights(result.sigma, result.errors));
  } else {
    result.notes.push_back("The model's sampler has no flow sigma: no weighting by |d sigma|.");
  }
  if (request.user_weights) result.weights.push_back(*request.user_weights);
  if (request.loop)
    result.weights.push_back(
        loop_weights(*request.loop, steps, result.sigma, request.model->name,
                     knows_layers(request.table, result.decide, request.loop->layers),
                     request.loop_source, result.notes));
  const Weighting wanted = request.main_weights   ? *request.main_weights
                           : request.loop         ? Weighting::measured
                           : request.user_weights ? Weighting::user
                           : result.sigma.empty() ? Weighting::uniform
                                                  : Weighting::sigma;
  std::string known;
  for (std::size_t i = 0; i < result.weights.size(); ++i) {
    const Weighting here = result.weights[i].weighting;
    if (here == wanted) {
      result.main_weights = i;
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(to_string(here));
  }
  throw Error(
      ErrorKind::usage, "weights",
      "\"" + std::string(to_string(wanted)) + "\" needs what this model or study does not give",
      "use " + known + ", or a file of one number per step");
}

double budget_of(const Request& request, const Result& result, const StepTimes& times) {
  const double steps = request.run.steps;
  const auto own_end = times.decided_s.begin() + static_cast<std::ptrdiff_t>(result.candidates);
  const auto [fast, slow] = std::minmax_element(times.decided_s.begin(), own_end);
  const double fixed = steps * times.fixed_s, fastest = fixed + steps * *fast;
  double budget = fixed + steps * (*fast + *slow) / 2;
  if (request.budget) {
    budget = request.budget->unit == Budget::Unit::seconds
                 ? request.budget->value
                 : steps * times.dense_s / request.budget->value;
  } else if (result.dense) {
    const double warm = warm_ups(request.run.steps).front();
    budget = fixed + warm * times.decided_s[*result.dense] + (steps - warm) * *fast;
  }
  if (budget < fastest * (1 - 1e-12))
    throw Error(ErrorKind::usage, "budget",
                std::to_string(budget) + " s on " + times.gpu + " is less than the " +
                    std::to_string(fastest) + " s of the fastest schedule",
                "allow more time, or add a faster candidate");
  return budget;
}

Tuned tuned(const Request& request, const Result& result, std::size_t gpu, std::size_t weights,
            const statistics::Resamples& bootstrap) {
  Tuned out{.gpu = gpu, .weights = weights};
  Setting setting{.result = &result,
                  .times = &result.times[gpu],
                  .weights = &result.weights[weights],
                  .bootstrap = &bootstrap,
                  .most_points = request.most_points};
  setting.wide =
      make_problem(result.errors_under(*setting.weights), *setting.times, *setting.weights);
  setting.own = narrowed(setting.wide, result.candidates);
  out.budget_s = budget_of(request, result, *setting.times);
  out.fronts = tuned_fronts(setting, out.budget_s);
  out.alphas = tuned_alphas(setting, out.budget_s);
  out.comparisons = tuned_comparisons(setting, out.fronts);
  out.phase_counts = tuned_phase_counts(setting, out.budget_s);
  return out;
}

void note_limits(Result& result) {
  const StepErrors& e = result.errors;
  if (static_cast<int>(e.measured.size()) < e.steps || e.study_steps != e.steps)
    result.notes.push_back("The study measured " + std::to_string(e.measured.size()) + " of " +
                           std::to_string(e.study_steps) +
                           " steps; the others lie between them, linear in log error.");
  if (e.seeds == 1) result.notes.push_back("One seed: no intervals.");
  result.notes.push_back(
      "Sensitivities measured after training do not fix the alphas of a model that is trained with "
      "these recipes: training moves the errors.");
}

}  // namespace

bool dense_16_bit(const recipe::Recipe& r) {
  const auto wide = [](const quant::Rule& rule) {
    return rule.format == numerics::FormatId::bf16 || rule.format == numerics::FormatId::f16;
  };
  return r.mask.kind == recipe::MaskKind::none && wide(r.q) && wide(r.k) && wide(r.v);
}

std::string_view to_string(ScheduleKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::string_view to_string(Comparison::Verdict verdict) {
  constexpr std::array<std::string_view, 4> kNames{"better", "worse", "undecided", "equal"};
  return kNames[static_cast<std::size_t>(verdict)];
}

const TunedPoint* TunedFront::within(double time_s) const {
  const TunedPoint* best = nullptr;
  for (const TunedPoint& point : points)
    if (point.time_s <= time_s * (1 + 1e-12)) best = &point;
  return best;
}

std::vector<StepTimes> Request::times_of(std::span<const recipe::Recipe> recipes) const {
  std::vector<StepTimes> out;
  if (own_times) out.push_back(step_times(*own_times, recipes));
  for (const hopper::Machine& machine : machines) out.push_back(step_times(machine, run, recipes));
  return out;
}

Result run(const Request& request) {
  Result result{.notes = request.notes};
  const video::Sampler& sampler = request.model->sampler;
  if (sampler.kind == video::SamplerKind::rectified_flow)
    for (int step = 0; step < request.run.steps; ++step)
      result.sigma.push_back(video::sigma(*request.model, step, request.run.steps));
  if (request.candidates.empty())
    throw Error(ErrorKind::usage, "candidates", "the list is empty", "name at least one recipe");
  if (request.run.steps < 3)
    throw Error(ErrorKind::usage, "steps", "three phases need at least three steps",
                "give --steps 3 or more");
  choose_recipes(request, result);
  std::vector<std::string> names;
  for (const recipe::Recipe& recipe : result.recipes) names.push_back(recipe.name);
  result.decide = request.decide ? *request.decide : finest_decision(request.table);
  result.errors = step_errors(request.table, names, result.decide, request.run.steps, result.sigma,
                              request.source);
  choose_weights(request, result);
  for (const StepWeights& weights : result.weights)
    if (!weights.layer_share.empty())
      result.layered = errors_by_layer(request.table, names, result.decide, request.run.steps,
                                       result.sigma, request.source, weights);
  result.times = request.times_of(result.recipes);
  const statistics::Resamples bootstrap(result.errors.seeds, request.resamples, request.seed);
  for (std::size_t gpu = 0; gpu < result.times.size(); ++gpu)
    for (std::size_t weights = 0; weights < result.weights.size(); ++weights) {
      if (request.progress)
        request.progress(result.tuned.size(), result.times.size() * result.weights.size());
      result.tuned.push_back(tuned(request, result, gpu, weights, bootstrap));
    }
  result.regrets = tuned_regrets(result);
  note_limits(result);
  return result;
}

}  // namespace karat::tune
