// What a form can hold, step by step, and why not where it cannot.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule_forms.hpp"

namespace karat::recipe {
namespace {

using files::Json;
namespace keys = schedule_keys;

struct FormName {
  ScheduleForm form;
  std::string_view name;
};
constexpr FormName kNames[] = {{ScheduleForm::xdit, "xdit"},
                               {ScheduleForm::sglang, "sglang"},
                               {ScheduleForm::trtllm, "trtllm"},
                               {ScheduleForm::fastvideo, "fastvideo"},
                               {ScheduleForm::wan_experts, "wan_experts"}};
constexpr ScheduleForm kAll[] = {ScheduleForm::xdit, ScheduleForm::sglang, ScheduleForm::trtllm,
                                 ScheduleForm::fastvideo, ScheduleForm::wan_experts};
constexpr Backend kBackends[] = {{"fa", "fa3_bf16"},
                                 {"sdpa", "fa2_bf16"},
                                 {"fa2", "fa2_bf16"},
                                 {"sage_attn", "sage2_sm90"},
                                 {"sliding_tile_attn", "sta_bf16"},
                                 {"video_sparse_attn", "vsa"},
                                 {"sla_attn", "sla"},
                                 {"sub_block", "subblock"}};

[[noreturn]] void refuse(ScheduleForm form, const std::string& why) {
  throw Error(ErrorKind::usage, std::string(to_text(form)) + "'s form of the schedule", why,
              "write karat's own form, or choose a schedule that the form can hold");
}

std::string counted(std::size_t steps) {
  return std::to_string(steps) + (steps == 1 ? " step" : " steps");
}

bool same(const Recipe& a, const Recipe& b) { return &a == &b || diff(a, b).empty(); }

/// Consecutive steps of one recipe.
struct Stretch {
  const Recipe* recipe;
  std::size_t steps;
};
std::vector<Stretch> stretches_of(const Schedule& schedule, const ScheduleRun& run) {
  std::vector<Stretch> stretches;
  for (const Recipe* recipe : recipes_of(schedule, run.steps, run.sigmas)) {
    if (stretches.empty() || !same(*stretches.back().recipe, *recipe))
      stretches.push_back({recipe, 0});
    ++stretches.back().steps;
  }
  return stretches;
}

/// A recipe at the ends, another between them.
struct BothEnds {
  const Recipe *high, *low;
  std::size_t start = 0, end = 0;
};
BothEnds both_ends(ScheduleForm form, const Schedule& schedule,
                   const std::vector<Stretch>& stretches) {
  if (stretches.size() == 1) return {stretches[0].recipe, stretches[0].recipe};
  if (stretches.size() == 2) {
    const auto& [first, second] = std::pair(stretches[0], stretches[1]);
    const bool at_end = std::ranges::any_of(schedule.phases, [&](const Phase& phase) {
      return phase.last && same(phase.recipe, *stretches[1].recipe);
    });
    if (at_end) return {second.recipe, first.recipe, 0, second.steps};
    return {first.recipe, second.recipe, first.steps, 0};
  }
  if (stretches.size() == 3 && same(*stretches[0].recipe, *stretches[2].recipe))
    return {stretches[0].recipe, stretches[1].recipe, stretches[0].steps, stretches[2].steps};
  refuse(form, "it has one recipe at both ends and one between them; this has " +
                   std::to_string(stretches.size()) + " stretches of steps" +
                   (stretches.size() == 3 ? " with different ends" : ""));
}

std::string write_xdit(const Schedule& schedule, const ScheduleRun& run) {
  const BothEnds ends = both_ends(ScheduleForm::xdit, schedule, stretches_of(schedule, run));
  if (ends.start != ends.end)
    refuse(ScheduleForm::xdit, "it has one number of steps for both ends; this has " +
                                   counted(ends.start) + " at the start and " + counted(ends.end) +
                                   " at the end");
  return files::format_json(Json{{keys::xdit,
                                  {{keys::high, recipe_json(*ends.high)},
                                   {keys::low, recipe_json(*ends.low)},
                                   {keys::steps_at_both_ends, ends.start}}}});
}

std::string backend_of(const Recipe& recipe) {
  const auto names = preset_names();
  const auto found = std::ranges::find_if(
      names, [&](std::string_view name) { return same(preset(name), recipe); });
  if (found == names.end())
    refuse(ScheduleForm::sglang, "it names backends; recipe " + recipe.name +
                                     " is no preset, and no name says its fields");
  for (const Backend& row : kBackends)
    if (row.preset == *found) return std::string(row.name);
  return std::string(*found);
}

std::string write_sglang(const Schedule& schedule, const ScheduleRun& run) {
  const BothEnds ends = both_ends(ScheduleForm::sglang, schedule, stretches_of(schedule, run));
  return backend_of(*ends.high) + ":" + backend_of(*ends.low) + ":" + std::to_string(ends.start) +
         ":" + std::to_string(ends.end) + "\n";
}

/// TensorRT-LLM's form: dense until a time, then sparse.
std::string trtllm_text(const Recipe& dense, const Recipe& sparse, double until) {
  constexpr auto kForm = ScheduleForm::trtllm;
  if (!has_sparsity_target(sparse))
    refuse(kForm, "it has a sparsity target; recipe " + sparse.name +
                      " selects no share of the key blocks and has no factor a*exp(b*target)");
  const bool factor = sparse.skip.rule == SkipRule::exponential;
  // Which target a factor reaches is unknown: a is the factor, and exp(b*target) is 1.
  const double target = factor ? 0 : 1 - double{sparse.predict.share};
  if (target < 0)
    refuse(kForm, "its sparsity target is from 0 to 1; recipe " + sparse.name +
                      " has predict.share above 1");
  Json form{{keys::dense, recipe_json(dense)},
            {keys::sparse, recipe_json(sparse)},
            {keys::target_sparsity, target},
            {keys::disabled_until, until}};
  if (factor) {
    form[keys::a] = double{sparse.skip.factor};
    form[keys::b] = 0;
  }
  return files::format_json(Json{{keys::trtllm, std::move(form)}});
}

std::string write_trtllm(const Schedule& schedule, const ScheduleRun& run) {
  constexpr auto kForm = ScheduleForm::trtllm;
  const std::vector<Phase>& phases = schedule.phases;
  if (phases.size() == 2 && phases[0].sigma_from && *phases[0].sigma_from > 0 &&
      *phases[0].sigma_from <= 1)
    return trtllm_text(phases[0].recipe, phases[1].recipe, *phases[0].sigma_from);
  const std::vector<Stretch> stretches = stretches_of(schedule, run);
  if (stretches.size() != 2)
    refuse(kForm, "it is dense until a time and sparse from there on; this has " +
                      std::to_string(stretches.size()) +
                      (stretches.size() == 1 ? " stretch" : " stretches") + " of steps");
  if (run.sigmas.empty())
    refuse(kForm, "it says a time, and this sampler has no noise level that is one");
  // Six digits of a time that lies between the last dense step's and the first sparse one's.
  const double last_dense = run.sigmas[stretches[0].steps - 1];
  const double first_sparse = run.sigmas[stretches[0].steps];
  double until = std::floor(last_dense * 1e6) / 1e6;
  if (until <= first_sparse) until = last_dense;
  if (until > 1 && first_sparse < 1) until = 1;
  if (!(until > first_sparse && until <= 1))
    refuse(kForm,
           "it is disabled until a time above 0 and up to 1; the noise levels here go from " +
               std::to_string(last_dense) + " to " + std::to_string(first_sparse));
  return trtllm_text(*stretches[0].recipe, *stretches[1].recipe, until);
}

std::string write_fastvideo(const Schedule& schedule, const ScheduleRun& run) {
  constexpr auto kForm = ScheduleForm::fastvideo;
  Json json = Json::object();
  auto& entries = json.get_ref<Json::object_t&>();  // whose keys differ: none is looked for
  const std::vector<const Recipe*> recipes = recipes_of(schedule, run.steps, run.sigmas);
  for (std::size_t step = 0; step < recipes.size(); ++step) {
    Recipe recipe = *recipes[step];
    const video::Extent3 window = recipe.mask.window;
    recipe.mask.window = preset("sta_bf16").mask.window;
    if (!same(recipe, preset("sta_bf16")))
      refuse(kForm, "it says windows of sta_bf16 alone; step " + std::to_string(step) + " runs " +
                        recipe.name);
    for (int layer = 0; layer < run.layers; ++layer)
      for (int head = 0; head < run.heads; ++head)
        entries.emplace_back(
            std::to_string(step) + "_" + std::to_string(layer) + "_" + std::to_string(head),
            Json{window.t, window.h, window.w});
  }
  return files::format_json(json);
}

std::string write_experts(const Schedule& schedule, const ScheduleRun&) {
  const std::vector<Phase>& phases = schedule.phases;
  if (phases.size() != 2 || !phases[0].sigma_from)
    refuse(
        ScheduleForm::wan_experts,
        "it has one recipe from a noise level on and one below it; this schedule's phases do not "
        "follow one noise level");
  if (!(*phases[0].sigma_from >= 0 && *phases[0].sigma_from <= 1))
    refuse(ScheduleForm::wan_experts, "its boundary is from 0 to 1; this schedule's is " +
                                          std::to_string(*phases[0].sigma_from));
  return files::format_json(Json{{keys::wan_experts,
                                  {{keys::boundary, *phases[0].sigma_from},
                                   {keys::high_noise, recipe_json(phases[0].recipe)},
                                   {keys::low_noise, recipe_json(phases[1].recipe)}}}});
}

}  // namespace

std::string_view to_text(ScheduleForm form) {
  return std::ranges::find(kNames, form, &FormName::form)->name;
}
std::span<const ScheduleForm> schedule_forms() { return kAll; }
std::span<const Backend> sglang_backends() { return kBackends; }

std::string write_schedule(ScheduleForm form, const Schedule& schedule, const ScheduleRun& run) {
  switch (form) {
    case ScheduleForm::xdit:
      return write_xdit(schedule, run);
    case ScheduleForm::sglang:
      return write_sglang(schedule, run);
    case ScheduleForm::trtllm:
      return write_trtllm(schedule, run);
    case ScheduleForm::fastvideo:
      return write_fastvideo(schedule, run);
    case ScheduleForm::wan_experts:
      break;
  }
  return write_experts(schedule, run);
}

bool has_sparsity_target(const Recipe& recipe) {
  return recipe.skip.rule == SkipRule::exponential ||
         (recipe.predict.rule != PredictRule::never && recipe.predict.select == Select::share);
}

Json schedule_json(const Schedule& schedule) {
  Json json{{"name", schedule.name}, {"phases", Json::array()}};
  for (const Phase& phase : schedule.phases) {
    Json& made = json["phases"].emplace_back(Json::object());
    if (phase.until) made["until"] = *phase.until;
    if (phase.sigma_from) made["sigma_from"] = *phase.sigma_from;
    if (phase.first) made["first"] = *phase.first;
    if (phase.last) made["last"] = *phase.last;
    made["recipe"] = recipe_json(phase.recipe);
  }
  return json;
}

Json recipe_json(const Recipe& recipe) {
  const auto names = preset_names();
  if (std::ranges::find(names, recipe.name) != names.end() &&
      to_json(preset(recipe.name)) == to_json(recipe))
    return recipe.name;
  return files::parse_json(to_json(recipe), recipe.name);
}

}  // namespace karat::recipe
