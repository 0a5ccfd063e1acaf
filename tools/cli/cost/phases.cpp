// Implementation of cost/phases.hpp.
#include "cost/phases.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "case/scheduled_recipes.hpp"
#include "karat/report/text.hpp"

namespace karat::cli {
namespace {

/// How many of the steps each phase has; nothing where that needs a sampler and nobody named one.
std::optional<std::vector<int>> steps_of_phases(const recipe::Schedule& schedule,
                                                const std::optional<hopper::RunRequest>& run,
                                                int steps) {
  const bool flow = run && run->model->sampler.kind == video::SamplerKind::rectified_flow;
  if (recipe::needs_sigma(schedule) && !flow) {
    if (!run) return std::nullopt;
    throw Error(ErrorKind::usage, "--schedule",
                "a phase asks for the step's noise level, and the sampler of " +
                    std::string(run->model->name) + " has none",
                "name a model that has, for example wan2.1-14b, or cut phases by steps");
  }
  std::vector<int> counts(schedule.phases.size(), 0);
  for (int step = 0; step < steps; ++step) {
    std::optional<double> sigma;
    if (flow) sigma = video::sigma(*run->model, step, steps);
    ++counts[recipe::phase_of(schedule, step, steps, sigma)];
  }
  return counts;
}

}  // namespace

Phases price_phases(const recipe::Schedule& schedule, const hopper::Question& base,
                    std::optional<hopper::RunRequest> run, int steps) {
  const auto counts = steps_of_phases(schedule, run, steps);
  const auto predicts = [](const recipe::Phase& phase) {
    return hopper::takes_density(phase.recipe);
  };
  if (base.density && std::ranges::none_of(schedule.phases, predicts))
    throw Error(ErrorKind::usage, "--density", "no phase of the schedule predicts a mask",
                "leave it out");
  Phases out;
  if (run) out.run.emplace();
  for (std::size_t i = 0; i < schedule.phases.size(); ++i) {
    const recipe::Phase& phase = schedule.phases[i];
    const int of_phase = counts ? (*counts)[i] : 0;
    if (counts && of_phase == 0) continue;
    hopper::Question q = base;
    q.recipe = phase.recipe;
    if (!predicts(phase)) q.density.reset();
    if (run) run->steps = of_phase;
    const std::string when = counts
                                 ? std::to_string(of_phase) + (of_phase == 1 ? " step" : " steps")
                                 : condition_of(phase);
    out.answers.push_back(answer(q, run, hopper::Detail::bounds, when + " " + q.recipe.name));
    const hopper::Answer& made = out.answers.back();
    if (run) {
      out.run->run_s += made.run->run_s;
      out.run->dense_run_s += made.run->dense_run_s;
    }
    out.steps += of_phase;
    out.attention_ms += of_phase * made.cost.time_ms;
    out.dense_ms += of_phase * made.cost.dense_bf16_ms;
  }
  if (run) out.run->speedup = out.run->dense_run_s / out.run->run_s;
  return out;
}

std::string to_text(const Phases& phases) {
  if (phases.run)
    return report::print("whole run       %.0f s, dense BF16 %.0f s: %.2fx\n", phases.run->run_s,
                         phases.run->dense_run_s, phases.run->speedup);
  if (phases.steps > 0)
    return report::print(
        "%d steps, attention of one layer and forward each: %.2f ms, dense BF16 %.2f ms: %.2fx\n",
        phases.steps, phases.attention_ms, phases.dense_ms, phases.dense_ms / phases.attention_ms);
  return "Which steps have these noise levels follows from a model's sampler: --model tells it, "
         "and the time of a run.\n";
}

files::Json to_json(const Phases& phases) {
  if (phases.run)
    return {{"run_s", phases.run->run_s},
            {"dense_run_s", phases.run->dense_run_s},
            {"speedup", phases.run->speedup}};
  if (phases.steps == 0) return {{"steps", nullptr}};
  return {{"steps", phases.steps},
          {"attention_ms", phases.attention_ms},
          {"dense_attention_ms", phases.dense_ms},
          {"speedup", phases.dense_ms / phases.attention_ms}};
}

}  // namespace karat::cli
