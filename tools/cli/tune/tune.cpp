// karat tune: which recipe in which denoising step, from measured errors and modelled times.
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/files/paths.hpp"
#include "karat/hopper/request.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/tune/measured_problem.hpp"
#include "karat/tune/report.hpp"
#include "karat/tune/run.hpp"
#include "options.hpp"
#include "version.hpp"

namespace karat::cli {
namespace {

/// "900", "900s" or "1.8x".
tune::Budget parse_budget(const std::string& text) {
  char* end = nullptr;
  tune::Budget budget{.value = std::strtod(text.c_str(), &end)};
  const std::string_view unit = end;
  if (end == text.c_str() || !(unit.empty() || unit == "s" || unit == "x") || !(budget.value > 0) ||
      budget.value > 1e12)
    throw Error(ErrorKind::usage, "--budget", "\"" + text + "\" is no budget",
                "give seconds of a whole run (900s), or a speed-up over dense BF16 (1.8x)");
  if (unit == "x") budget.unit = tune::Budget::Unit::speedup;
  return budget;
}

/// What a study says of the run that it measured, as far as it does.
struct MeasuredRun {
  std::string model;
  std::optional<video::Extent3> grid;
  std::optional<int> steps;
  std::vector<recipe::Recipe> recipes;
};

/// Model, grid and steps of the run: those given, else the study's. What differs is said in a
/// warning each.
void read_model(const cxxopts::ParseResult& given, const MeasuredRun& measured,
                tune::Request& request, std::vector<std::string>& warnings) {
  hopper::ModelRequest asked{.model = "wan2.1-14b"};
  const bool priced = std::ranges::find(video::models(), measured.model, &video::Model::name) !=
                      video::models().end();
  if (priced) asked.model = measured.model;
  read_options(given, hopper::model_fields(), asked);
  request.run = hopper::run_of(asked);
  request.model = request.run.model;
  if (measured.grid && given.count("resolution") == 0) request.run.grid = *measured.grid;
  if (measured.steps && given.count("steps") == 0) request.run.steps = *measured.steps;
  const std::string& study = request.source;
  if (given.count("from") > 0 && !priced && given.count("model") == 0)
    warnings.push_back(study +
                       (measured.model.empty()
                            ? " names no model"
                            : " measured " + measured.model + ", whose size karat does not know") +
                       ": times are of " + asked.model + "; --model says another");
  if (!measured.model.empty() && given.count("model") > 0 && asked.model != measured.model)
    warnings.push_back("--model " + asked.model + ": " + study + " measured " + measured.model);
  if (measured.grid && request.run.grid != *measured.grid)
    warnings.push_back("--resolution: times are of " + video::to_string(request.run.grid) +
                       " tokens, " + study + " measured " + video::to_string(*measured.grid));
  if (measured.steps && request.run.steps != *measured.steps)
    warnings.push_back("--steps " + std::to_string(request.run.steps) + ": " + study +
                       " measured a run of " + std::to_string(*measured.steps));
}

/// The recipe of that name among those that a study holds in full, or none.
const recipe::Recipe* find(std::span<const recipe::Recipe> recorded, std::string_view name) {
  for (const recipe::Recipe& one : recorded)
    if (one.name == name) return &one;
  return nullptr;
}

/// The candidates named, those recorded in the study before presets and files; without --candidates
/// every recipe of the study that is a preset, or recorded in it, and has a time.
void read_candidates(const cxxopts::ParseResult& given, std::span<const recipe::Recipe> recorded,
                     tune::Request& request, std::vector<std::string>& warnings) {
  if (const auto text = text_of(given, "candidates")) {
    for (const std::string& name : parse_names(*text, "--candidates")) {
      const recipe::Recipe* own = find(recorded, name);
      request.candidates.push_back(own != nullptr ? *own : recipe::load_recipe(name));
      const recipe::Recipe& chosen = request.candidates.back();
      if (own = find(recorded, chosen.name); own == nullptr) continue;
      for (const recipe::Difference& each : diff(*own, chosen))
        warnings.push_back("--candidates " + name + ": its " + each.field->path + " is " +
                           recipe::to_text(each.right) + ", " + request.source + " measured " +
                           recipe::to_text(each.left));
    }
    return;
  }
  const auto presets = recipe::preset_names();
  std::string skipped;
  for (const std::string& name : request.table.recipes) {
    try {
      const recipe::Recipe* own = find(recorded, name);
      if (own == nullptr && std::find(presets.begin(), presets.end(), name) == presets.end())
        throw Error(ErrorKind::usage, name, "is no preset", "name its file");
      const recipe::Recipe recipe = own != nullptr ? *own : recipe::preset(name);
      (void)request.times_of({&recipe, 1});
      request.candidates.push_back(recipe);
    } catch (const Error&) {
      skipped += (skipped.empty() ? "" : ", ") + name;
    }
  }
  if (!skipped.empty())
    request.notes.push_back(
        "Measured but no candidate, being no preset or without a time: " + skipped + ".");
}

void read_weights(const cxxopts::ParseResult& given, tune::Request& request) {
  const auto text = text_of(given, "weights");
  if (!text) return;
  using tune::Weighting;
  for (const Weighting known : {Weighting::uniform, Weighting::sigma, Weighting::propagation})
    if (*text == to_string(known)) request.main_weights = known;
  if (request.main_weights) return;
  const std::string content = files::read_text(*text);
  if (study::looks_like_loop(content)) {
    request.loop = study::parse_loop(files::parse_json(content, *text), *text);
    request.loop_source = *text;
  } else {
    request.user_weights = tune::parse_weights(content, request.run.steps, *text);
  }
}

/// Times of the GPUs named, or the user's own.
void read_times(const cxxopts::ParseResult& given, tune::Request& request) {
  const auto path = text_of(given, "times"), gpu = text_of(given, "gpu");
  if (path && gpu)
    throw Error(ErrorKind::usage, "--times", "stands beside --gpu, whose times it replaces",
                "leave one out");
  if (path) {
    request.own_times = tune::parse_times(files::read_text(*path), *path);
  } else {
    for (const std::string& name : parse_names(gpu.value_or("H20"), "--gpu"))
      request.machines.push_back(hopper::load_machine(name));
  }
}

/// What an HDF5 result says of itself. A recipe of another version of karat counts by its name.
MeasuredRun run_of_result(const std::string& path) try {
  MeasuredRun run;
  const files::Hdf5Reader file(path);
  if (!file.attributes("").contains("study")) return run;
  const files::Json asked = files::parse_json(file.text("", "study"), path);
  run.steps = static_cast<int>(file.integer("", "steps"));
  if (const auto source = asked.find("source");
      source != asked.end() && source->value("kind", "") == "generated") {
    run.model = source->at("model").get<std::string>();
    const auto grid = source->at("grid").get<std::array<int, 3>>();
    run.grid = video::Extent3{grid[0], grid[1], grid[2]};
  }
  for (const files::Json& recipe : asked.value("recipes", files::Json::array())) {
    try {
      run.recipes.push_back(recipe::parse_recipe(recipe.dump(), path));
    } catch (const Error&) {
    }
  }
  return run;
} catch (const nlohmann::json::exception&) {
  throw Error(ErrorKind::input_output, path, "says of its own run what no study says",
              "let karat study write it again");
}

/// The study's errors, and what it says of its run.
study::SensitivityTable read_table(const std::string& path, MeasuredRun& run) {
  const std::string text = files::read_text(path);
  if (study::looks_like_loop(text)) {
    const files::Json json = files::parse_json(text, path);
    if (json.contains("schema") && json["schema"] == "karat.loop") {
      study::LoopStudy loop = study::parse_loop(json, path);
      run = {.model = loop.model, .grid = loop.grid, .steps = loop.steps, .recipes = loop.recipes};
      return study::sensitivity(loop, path);
    }
  }
  study::SensitivityTable table = study::read_sensitivity(path);
  if (!study::looks_like_loop(text) && !text.starts_with("prompt,")) run = run_of_result(path);
  return table;
}

/// What is asked; `warnings` are for stderr.
tune::Request tune_request(const cxxopts::ParseResult& given, std::vector<std::string>& warnings) {
  tune::Request request;
  const auto from = text_of(given, "from");
  const bool quick = given.count("quick") > 0;
  if (from && quick)
    throw Error(ErrorKind::usage, "--quick", "uses built-in data and cannot stand beside --from",
                "leave one out");
  if (!from && !quick)
    throw Error(ErrorKind::usage, "--from", "is missing",
                "name a study's result, or give --quick for built-in data");
  if (from) files::require_readable(*from);
  MeasuredRun measured;
  if (from) {
    request.table = read_table(*from, measured);
  } else {
    request.table = tune::builtin_sensitivity();
  }
  request.source = from ? *from : "the built-in study";
  if (quick)
    request.notes.push_back(
        "The built-in study measured generated heads on 6x40x64 tokens: a demonstrator. What it "
        "says "
        "about a model needs that model's captures.");
  read_model(given, measured, request, warnings);
  read_times(given, request);
  read_candidates(given, measured.recipes, request, warnings);
  read_weights(given, request);
  using tune::Decide;
  const Named<Decide> decisions[] = {{to_string(Decide::step), Decide::step},
                                     {to_string(Decide::layer), Decide::layer},
                                     {to_string(Decide::head), Decide::head},
                                     {to_string(Decide::cell), Decide::cell}};
  if (const auto text = text_of(given, "per"))
    request.decide = parse_choice(*text, "--per", decisions);
  if (const auto text = text_of(given, "budget")) request.budget = parse_budget(*text);
  request.resamples = whole(given, "resamples", 1000, 1);
  request.seed = seed_of(given);
  return request;
}

void declare_tune(CommandLine& line) {
  line.add(
      {{"gpu", "H20 (default), H100, ... or FILE.json; several: H20,H100"},
       {"candidates", "recipes to choose from, presets or FILE.json (default: all the study has)"},
       {"times", "seconds of a step with each recipe, FILE.json, in place of a GPU's"},
       {"from", "what karat study wrote: HDF5, CSV or JSON; or a study of karat.loop"},
       {"quick", "use the built-in study", Takes::nothing}});
  line.add(
      {{"weights",
        "uniform, sigma, propagation, FILE of one number per step, or a study of karat.loop"},
       {"budget",
        "seconds of a run (900s) or speed-up over dense BF16 (1.8x); default: the time of 24 % "
        "dense steps and the fastest recipe after"},
       {"per", "what decides for itself: step, layer, head or cell"},
       {"schedule", "what --out writes: three_phase (default) or general"},
       {"format",
        "whose schedules --out writes: karat (default), or the best that xdit, sglang or trtllm "
        "can say"},
       {"resamples", "of the bootstrap over seeds (default 1000)"},
       {"seed", "of the bootstrap (default 0)"}},
      "choices");
  line.add({{"model", "wan2.1-14b, ... (default: the study's, else wan2.1-14b)"},
            {"resolution",
             "480p, 720p, ... or WIDTHxHEIGHTxFRAMES (default: the study's grid, else the model's "
             "first)"},
            {"steps", "denoising steps (default: the study's, else the model's)"},
            {"forwards", "forwards a step"},
            {"gpus", "sequence-parallel degree"},
            {"linear", "bf16, fp8 or fp8_block linear layers"}},
           "run");
  line.add({{"o,out", "the schedule, FILE.json for karat make and karat cost"},
            {"html", "report, FILE.html"},
            {"csv", "all fronts, FILE.csv"},
            kMarkdown},
           "answers");
}

}  // namespace

int run_tune(int argc, char** argv) {
  CommandLine line("tune", "Which recipe in which denoising step: error against time.");
  declare_tune(line);
  line.note("How it decides, and what the answers mean: docs/tune.md.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const report::TableStyle style = table_style(*given);
  std::vector<std::string> warnings;
  tune::Request request = [&] {
    const NothingHalfWritten guard;
    return tune_request(*given, warnings);
  }();
  static constexpr Named<tune::ScheduleKind> kKinds[] = {
      {"three_phase", tune::ScheduleKind::three_phase},
      {"general", tune::ScheduleKind::general_by_step}};
  const tune::ScheduleKind kind =
      parse_choice(text_of(*given, "schedule").value_or("three_phase"), "--schedule", kKinds);
  using Form = std::optional<recipe::ScheduleForm>;
  static constexpr Named<Form> kForms[] = {{"karat", Form{}},
                                           {"xdit", recipe::ScheduleForm::xdit},
                                           {"sglang", recipe::ScheduleForm::sglang},
                                           {"trtllm", recipe::ScheduleForm::trtllm}};
  const Form form = parse_choice(text_of(*given, "format").value_or("karat"), "--format", kForms);
  if (form && given->count("schedule") > 0)
    throw Error(ErrorKind::usage, "--schedule", "stands beside --format, which says its own kind",
                "leave one out");
  const tune::Result result = [&] {
    const NothingHalfWritten guard;
    Progress bar("tune", narration(*given), 0, "fronts");
    request.progress = bar.callback();
    return tune::run(request);
  }();
  for (const std::string& warning : warnings) say(narration(*given), "warning: " + warning);
  std::string text;
  files::Json schedule;
  std::vector<tune::Decision> decided;
  if (form) {
    const recipe::Schedule chosen = tune::form_schedule(result, *form);
    text =
        recipe::write_schedule(*form, chosen, {.steps = request.run.steps, .sigmas = result.sigma});
    schedule = recipe::schedule_json(chosen);
    decided = {tune::decision(result, chosen)};
  } else {
    schedule = tune::chosen_schedule(result, kind);
    decided = tune::decisions(result, kind);
    text = files::format_json(schedule);
  }
  if (const auto path = text_of(*given, "out")) files::write_file(*path, text);
  if (const auto path = text_of(*given, "csv")) files::write_file(*path, tune::to_csv(result));
  if (const auto path = text_of(*given, "html"))
    files::write_file(*path, tune::html_page(result, request, {typed(argc, argv), KARAT_VERSION}));
  if (given->count("json") > 0) {
    files::Json body = to_json(result, request, schedule);
    body["decision"] = to_json(decided.front(), result);
    print_json("tune", 1, body);
  } else {
    std::fputs(to_text(result, request, decided, style).c_str(), stdout);
  }
  return match;
}

}  // namespace karat::cli
