// karat tune: which recipe in which denoising step, from measured errors and modelled times.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/hopper/request.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule_forms.hpp"
#include "karat/tune/measured_problem.hpp"
#include "karat/tune/report.hpp"
#include "karat/tune/run.hpp"
#include "options.hpp"
#include "version.hpp"

namespace karat::cli {
namespace {

std::vector<std::string> listed(std::string_view text, const std::string& option) {
  std::vector<std::string> parts;
  for (std::string_view part : numerics::split(text)) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (part.empty())
      throw Error(ErrorKind::usage, "--" + option, "has an empty name in its list",
                  "give names separated by commas");
    parts.emplace_back(part);
  }
  return parts;
}

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

void read_model(const cxxopts::ParseResult& given, tune::Request& request) {
  hopper::ModelRequest asked{.model = "wan2.1-14b"};
  read_options(given, hopper::model_fields(), asked);
  request.run = hopper::run_of(asked);
  request.model = request.run.model;
}

/// The recipe of that name among those that a loop study holds, or none.
const recipe::Recipe* find(std::span<const recipe::Recipe> recorded, std::string_view name) {
  for (const recipe::Recipe& one : recorded)
    if (one.name == name) return &one;
  return nullptr;
}

/// The candidates named, those recorded in the study before presets and files; without --candidates
/// every recipe of the study that is a preset, or recorded in it, and has a time.
void read_candidates(const cxxopts::ParseResult& given, std::span<const recipe::Recipe> recorded,
                     tune::Request& request) {
  if (const auto text = text_of(given, "candidates")) {
    for (const std::string& name : listed(*text, "candidates")) {
      const recipe::Recipe* own = find(recorded, name);
      request.candidates.push_back(own != nullptr ? *own : recipe::load_recipe(name));
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
    for (const std::string& name : listed(gpu.value_or("H20"), "gpu"))
      request.machines.push_back(hopper::load_machine(name));
  }
}

/// The study's errors, and the recipes of one that holds them.
study::SensitivityTable read_table(const std::string& path, std::vector<recipe::Recipe>& recorded) {
  const std::string text = files::read_text(path);
  if (study::looks_like_loop(text)) {
    const files::Json json = files::parse_json(text, path);
    if (json.contains("schema") && json["schema"] == "karat.loop") {
      study::LoopStudy loop = study::parse_loop(json, path);
      recorded = loop.recipes;
      return study::sensitivity(loop, path);
    }
  }
  return study::read_sensitivity(path);
}

tune::Request tune_request(const cxxopts::ParseResult& given) {
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
  std::vector<recipe::Recipe> recorded;
  if (from) {
    request.table = read_table(*from, recorded);
  } else {
    request.table = tune::builtin_sensitivity();
  }
  request.source = from ? *from : "the built-in study";
  if (quick)
    request.notes.push_back(
        "The built-in study measured generated heads on 6x40x64 tokens: a demonstrator. What it "
        "says "
        "about a model needs that model's captures.");
  read_model(given, request);
  read_times(given, request);
  read_candidates(given, recorded, request);
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
  line.add({{"model", "wan2.1-14b (default), ..."},
            {"resolution", "480p, 720p, ... or WIDTHxHEIGHTxFRAMES"},
            {"steps", "denoising steps"},
            {"forwards", "forwards a step"},
            {"gpus", "sequence-parallel degree"},
            {"linear", "bf16, fp8 or fp8_block linear layers"}},
           "run");
  line.add({{"o,out", "the schedule, FILE.json for karat make and karat cost"},
            {"html", "report, FILE.html"},
            {"csv", "all fronts, FILE.csv"}},
           "answers");
}

}  // namespace

int run_tune(int argc, char** argv) {
  CommandLine line("tune", "Which recipe in which denoising step: error against time.");
  declare_tune(line);
  line.note("How it decides, and what the answers mean: docs/tune.md.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  tune::Request request = [&] {
    const NothingHalfWritten guard;
    return tune_request(*given);
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
  std::string text;
  files::Json schedule;
  if (form) {
    const recipe::Schedule chosen = tune::form_schedule(result, *form);
    text =
        recipe::write_schedule(*form, chosen, {.steps = request.run.steps, .sigmas = result.sigma});
    schedule = recipe::schedule_json(chosen);
  } else {
    schedule = tune::chosen_schedule(result, kind);
    text = files::format_json(schedule);
  }
  if (const auto path = text_of(*given, "out")) files::write_file(*path, text);
  if (const auto path = text_of(*given, "csv")) files::write_file(*path, tune::to_csv(result));
  if (const auto path = text_of(*given, "html"))
    files::write_file(*path, tune::html_page(result, request, {typed(argc, argv), KARAT_VERSION}));
  if (given->count("json") > 0) {
    print_json("tune", 1, to_json(result, request, schedule));
  } else {
    std::fputs(to_text(result, request).c_str(), stdout);
  }
  return match;
}

}  // namespace karat::cli
