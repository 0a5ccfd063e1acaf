// Implementation of case/scheduled_recipes.hpp.
#include "case/scheduled_recipes.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "karat/files/atomic_file.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/report/text.hpp"
#include "karat/video/models.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

constexpr const char* kOptions[] = {"format", "model", "steps", "layers", "heads", "out"};

/// The run that the steps belong to; keeps the noise levels alive.
struct ScheduledRun {
  int steps = 0, layers = 1, heads = 1;
  std::vector<double> sigmas;
  recipe::ScheduleRun view() const {
    return {.steps = steps, .sigmas = sigmas, .layers = layers, .heads = heads};
  }
};

ScheduledRun scheduled_run(const cxxopts::ParseResult& given) {
  const auto name = text_of(given, "model");
  const video::Model* model = name ? &video::find_model(*name) : nullptr;
  ScheduledRun run{.steps = whole(given, "steps", model ? model->sampler.steps : 50, 1, 1 << 20),
                   .layers = whole(given, "layers", model ? model->layers : 1, 1, 1 << 12),
                   .heads = whole(given, "heads", model ? model->heads : 1, 1, 1 << 12),
                   .sigmas = {}};
  if (model && model->sampler.kind == video::SamplerKind::rectified_flow)
    for (int step = 0; step < run.steps; ++step)
      run.sigmas.push_back(video::sigma(*model, step, run.steps));
  return run;
}

using Form = std::optional<recipe::ScheduleForm>;

constexpr Named<Form> kForms[] = {{"karat", Form{}},
                                  {"xdit", recipe::ScheduleForm::xdit},
                                  {"sglang", recipe::ScheduleForm::sglang},
                                  {"trtllm", recipe::ScheduleForm::trtllm},
                                  {"fastvideo", recipe::ScheduleForm::fastvideo},
                                  {"wan_experts", recipe::ScheduleForm::wan_experts}};

std::string written(const recipe::Schedule& schedule, const std::string& format,
                    const ScheduledRun& run) {
  const Form form = parse_choice(format, "--format", kForms);
  return form ? recipe::write_schedule(*form, schedule, run.view())
              : files::format_json(recipe::schedule_json(schedule));
}

files::Json steps_json(const std::vector<const recipe::Recipe*>& recipes, const ScheduledRun& run) {
  files::Json steps = files::Json::array();
  for (std::size_t step = 0; step < recipes.size(); ++step) {
    steps.push_back({{"step", step}, {"recipe", recipes[step]->name}});
    if (!run.sigmas.empty()) steps.back()["sigma"] = run.sigmas[step];
  }
  return steps;
}

/// "steps 0 to 9  fa3_bf16", a line for each stretch of one phase.
report::Table table_of(const std::vector<const recipe::Recipe*>& recipes) {
  report::Table table{.columns = {{}, {}}, .rows = {}};
  for (std::size_t begin = 0; begin < recipes.size();) {
    std::size_t end = begin;
    while (end < recipes.size() && recipes[end] == recipes[begin]) ++end;
    table.rows.push_back(
        {report::print("steps %4zu to %4zu", begin, end - 1), recipes[begin]->name});
    begin = end;
  }
  return table;
}

/// "noise level from 0.9  fa3_bf16", a line for each phase.
report::Table table_of(const recipe::Schedule& schedule) {
  report::Table table{.columns = {{}, {}}, .rows = {}};
  for (const recipe::Phase& phase : schedule.phases)
    table.rows.push_back({condition_of(phase), phase.recipe.name});
  return table;
}

constexpr std::string_view kNeedsSampler =
    "which steps have a noise level follows from a model's sampler";

}  // namespace

void add_schedule_options(CommandLine& line) {
  line.add({{"schedule", "instead: the recipe of every step of a schedule, FILE or sglang's line"},
            {"format",
             "write the schedule as karat, xdit, sglang, trtllm, fastvideo or wan_experts says it"},
            {"model", "whose sampler gives steps and noise levels, and FastVideo layers and heads"},
            {"steps", "of the run; the model's, or 50"},
            {"layers", "of FastVideo's form; the model's, or 1"},
            {"heads", "of FastVideo's form; the model's, or 1"},
            {"o,out", "where --format writes (default: the screen)"}},
           "Schedule");
}

std::string condition_of(const recipe::Phase& phase) {
  if (phase.sigma_from) return report::print("noise level from %g", *phase.sigma_from);
  if (phase.until) return report::print("until %g of the steps", *phase.until);
  if (phase.first) return "first " + std::to_string(*phase.first) + " steps";
  if (phase.last) return "last " + std::to_string(*phase.last) + " steps";
  return "otherwise";
}

void require_schedule(const cxxopts::ParseResult& given) {
  for (const char* option : kOptions)
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, std::string("--") + option, "says nothing without --schedule",
                  "give --schedule FILE too");
}

void print_schedule(const cxxopts::ParseResult& given) {
  refuse_beside(given, "schedule", {"recipe", "other"});
  const recipe::Schedule schedule = recipe::load_schedule(required(given, "schedule"));
  const ScheduledRun run = scheduled_run(given);
  const auto format = text_of(given, "format"), out = text_of(given, "out");
  // karat's own form and a list of phases say noise levels as they are; everything else counts
  // steps
  const bool counted = !recipe::needs_sigma(schedule) || !run.sigmas.empty();
  if (!counted && format && *format != "karat")
    throw Error(ErrorKind::usage, "--format " + *format,
                "the form counts steps, and " + std::string(kNeedsSampler),
                "add a model whose sampler has them, for example --model wan2.1-14b");
  if (!format) refuse_beside(given, "schedule without --format", {"out", "layers", "heads"});
  const report::TableStyle style = table_style(given);
  std::string text;
  if (format) text = written(schedule, *format, run);
  if (out) files::write_file(*out, text);
  std::vector<const recipe::Recipe*> recipes;
  if (counted) recipes = recipe::recipes_of(schedule, run.steps, run.sigmas);
  if (given.count("json") > 0) {
    files::Json body{{"schedule", recipe::schedule_json(schedule)}};
    body["steps"] = counted ? steps_json(recipes, run) : files::Json();
    if (format) body["format"] = {{"name", *format}, {"text", text}};
    print_json("recipes.schedule", 1, body);
  } else if (format) {
    if (!out) std::fputs(text.c_str(), stdout);
  } else {
    std::fputs(report::to_text(counted ? table_of(recipes) : table_of(schedule), style).c_str(),
               stdout);
    if (!counted) say(narration(given), std::string(kNeedsSampler) + ": --model lists the steps");
  }
}

}  // namespace karat::cli
