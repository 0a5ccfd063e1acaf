// karat cost: how long an attention recipe takes on a Hopper GPU, and what limits it.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "commands.hpp"
#include "cost/cost_report.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/hopper/trace.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

using cxxopts::value;
using hopper::Question;

int whole(const cxxopts::ParseResult& given, const std::string& option, int otherwise,
          int low = 1) {
  const auto text = text_of(given, option);
  return text ? static_cast<int>(parse_integer(*text, "--" + option, low)) : otherwise;
}

/// What is asked beside the attention kernel, when a model is named.
struct ModelRun {
  const video::Model* model = nullptr;
  hopper::RunRequest request;
};

void refuse_together(const cxxopts::ParseResult& given, const char* with,
                     std::initializer_list<const char*> options) {
  for (const char* option : options) {
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, std::string("--") + option,
                  std::string("cannot stand beside --") + with, "leave one out");
  }
}

ModelRun model_run(const cxxopts::ParseResult& given, Question& q) {
  ModelRun run;
  const auto name = text_of(given, "model");
  if (!name) return run;
  refuse_together(given, "model", {"seqlen", "grid", "heads", "head-dim", "causal"});
  const video::Model& model = video::find_model(*name);
  const auto resolution_name = text_of(given, "resolution");
  video::Resolution resolution =
      resolution_name ? video::find_resolution(model, *resolution_name) : model.resolutions.front();
  resolution.frames = whole(given, "frames", resolution.frames);
  const video::Extent3 grid = video::token_grid(model, resolution);
  q = hopper::ask_model(q, model, grid);
  run.model = &model;
  run.request = {.model = &model, .grid = grid};
  run.request.steps = whole(given, "steps", model.sampler.steps);
  run.request.forwards_per_step = whole(given, "forwards", model.sampler.forwards_per_step);
  run.request.dense_steps = whole(given, "dense-steps", 0, 0);
  run.request.gpus = whole(given, "gpus", 1);
  static constexpr Named<hopper::LinearFormat> kFormats[] = {
      {"bf16", hopper::LinearFormat::bf16},
      {"fp8", hopper::LinearFormat::fp8},
      {"fp8_block", hopper::LinearFormat::fp8_block}};
  if (const auto text = text_of(given, "linear"))
    run.request.linear = parse_choice(*text, "--linear", kFormats);
  return run;
}

/// Shape from --seqlen or --grid, for questions without a model.
void read_shape(const cxxopts::ParseResult& given, Question& q) {
  refuse_together(given, "seqlen or --grid",
                  {"resolution", "frames", "steps", "forwards", "dense-steps", "gpus", "linear"});
  if (const auto grid = text_of(given, "grid")) {
    refuse_together(given, "grid", {"seqlen"});
    q.grid = parse_extent(*grid, "--grid");
    q.shape.queries = q.shape.keys = q.grid->volume();
  } else {
    const auto tokens = text_of(given, "seqlen");
    if (!tokens)
      throw Error(ErrorKind::usage, "shape", "is missing",
                  "give --model and --resolution, --seqlen, or --grid T,H,W");
    q.shape.queries = q.shape.keys = parse_integer(*tokens, "--seqlen", 1);
  }
  q.shape.heads = whole(given, "heads", 1);
  q.shape.head_dim = whole(given, "head-dim", 128);
  if (given.count("causal") > 0) q.shape.causality = hopper::Causality::causal;
}

CostAnswer answer(const Question& q, const ModelRun& run, hopper::Detail detail,
                  std::string title) {
  if (q.recipe.predict.rule != recipe::PredictRule::never)
    throw Error(ErrorKind::usage, "recipe " + q.recipe.name,
                "its mask is predicted from Q and K, and there are no tensors here",
                "choose one without predict.rule");
  CostAnswer a{.title = std::move(title), .question = q, .cost = attention_cost(q, detail)};
  a.around = hopper::around_attention(q);
  if (run.model) a.run = hopper::run_time(q, run.request);
  const double bf16 =
      2.0 * q.shape.batch * q.shape.heads * q.shape.head_dim *
      (2.0 * static_cast<double>(q.shape.queries) + 2.0 * static_cast<double>(q.shape.keys));
  a.dense_memory_ratio = hopper::held_bytes(q) / bf16;
  return a;
}

/// Settings of one axis of a sweep: those given, else the published ones.
std::vector<video::Extent3> settings(const cxxopts::ParseResult& given, const std::string& option,
                                     std::vector<video::Extent3> published) {
  const auto text = text_of(given, option);
  if (!text) return published;
  std::vector<video::Extent3> out;
  for (const std::string& each : numerics::words(*text, ' '))
    out.push_back(parse_extent(each, "--" + option));
  return out;
}

std::vector<CostAnswer> sweep(const cxxopts::ParseResult& given, const Question& base,
                              const ModelRun& run) {
  bool windows_swept = false, tiles_swept = false;
  for (const std::string& axis : numerics::split(*text_of(given, "sweep"))) {
    if (axis == "window") {
      windows_swept = true;
    } else if (axis == "tile") {
      tiles_swept = true;
    } else {
      throw Error(ErrorKind::usage, "--sweep", "\"" + axis + "\" is none of window, tile",
                  "did you mean window,tile?");
    }
  }
  if (base.recipe.mask.kind != recipe::MaskKind::window)
    throw Error(ErrorKind::usage, "--sweep", "recipe " + base.recipe.name + " has no window",
                "choose one that has, for example fpsattention");
  const auto windows =
      windows_swept
          ? settings(given, "windows",
                     {{1, 1, 1}, {3, 3, 1}, {3, 3, 3}, {5, 5, 5}, {6, 6, 1}, {6, 6, 6}, {5, 6, 10}})
          : std::vector{base.recipe.mask.window};
  const auto tiles =
      tiles_swept ? settings(given, "tiles", {{3, 4, 4}, {6, 8, 8}, {12, 16, 16}, {24, 32, 32}})
                  : std::vector{base.recipe.mask.tile};
  std::vector<CostAnswer> answers;
  for (const video::Extent3 tile : tiles) {
    for (const video::Extent3 window : windows) {
      Question q = base;
      q.recipe.mask.tile = tile;
      q.recipe.mask.window = window;
      answers.push_back(
          answer(q, run, hopper::Detail::time,
                 "tile " + video::to_string(tile) + " window " + video::to_string(window)));
    }
  }
  return answers;
}

/// An answer per phase of the schedule, each about the steps that run with it.
std::vector<CostAnswer> phases(const std::string& path, const Question& base, ModelRun run) {
  if (!run.model)
    throw Error(ErrorKind::usage, "--schedule", "is about a model's run", "add --model wan2.1-14b");
  const recipe::Schedule schedule = recipe::load_schedule(path);
  const int steps = run.request.steps;
  const bool flow = run.model->sampler.kind == video::SamplerKind::rectified_flow;
  std::vector<int> counts(schedule.phases.size(), 0);
  for (int step = 0; step < steps; ++step) {
    std::optional<double> sigma;
    if (flow) sigma = video::sigma(*run.model, step, steps);
    ++counts[recipe::phase_of(schedule, step, steps, sigma)];
  }
  std::vector<CostAnswer> answers;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    Question q = base;
    q.recipe = schedule.phases[i].recipe;
    run.request.steps = counts[i];
    answers.push_back(answer(q, run, hopper::Detail::time,
                             std::to_string(counts[i]) + " steps " + q.recipe.name));
  }
  return answers;
}

/// The phases' runs together.
hopper::RunTime together(const std::vector<CostAnswer>& phases) {
  hopper::RunTime total;
  for (const CostAnswer& phase : phases) {
    total.run_s += phase.run->run_s;
    total.dense_run_s += phase.run->dense_run_s;
  }
  total.speedup = total.dense_run_s / total.run_s;
  return total;
}

void add_options(CommandLine& line) {
  line.add()("recipe", "preset or FILE.json (default fa3_bf16)", value<std::string>())(
      "schedule", "FILE.json: a recipe for every step of the model's run", value<std::string>())(
      "gpu", "H100 (default, SXM), H100-PCIe, H200, H800, H20 or FILE.json", value<std::string>())(
      "kernel-version", "fa2, fa3, sta, flex, sage2 or fpsattention; default: the recipe's own",
      value<std::string>());
  line.add("shape of a model")("model", "wan2.1-1.3b, wan2.1-14b, hunyuanvideo, cogvideox-5b",
                               value<std::string>())(
      "resolution", "480p, 720p, ... or WIDTHxHEIGHTxFRAMES", value<std::string>())(
      "frames", "instead of the resolution's own", value<std::string>())(
      "steps", "denoising steps of a run", value<std::string>())(
      "forwards", "forwards a step: 2 with guidance, 1 without", value<std::string>())(
      "dense-steps", "first steps with dense BF16 attention", value<std::string>())(
      "gpus", "sequence-parallel degree", value<std::string>())(
      "linear", "bf16, fp8 or fp8_block linear layers", value<std::string>());
  line.add("shape in numbers")("seqlen", "tokens", value<std::string>())(
      "grid", "tokens as T,H,W", value<std::string>())("heads", "heads", value<std::string>())(
      "head-dim", "channels of a head", value<std::string>())(
      "batch", "batch", value<std::string>())("causal", "keys up to the query's own")(
      "tile", "mask tile T,H,W", value<std::string>())("window", "window T,H,W",
                                                       value<std::string>());
  line.add("answers")("compare", "several GPUs: H20,H100,H200", value<std::string>())(
      "sweep", "window, tile or window,tile", value<std::string>())(
      "windows", "what --sweep window tries: \"3,3,3 5,5,5\"", value<std::string>())(
      "tiles", "what --sweep tile tries", value<std::string>())("csv", "one line per answer")(
      "trace", "timeline of one SM for Perfetto, FILE.json", value<std::string>())(
      "svg", "Gantt, roofline and occupancy, FILE.svg", value<std::string>());
}

}  // namespace

int run_cost(int argc, char** argv) {
  CommandLine line("cost",
                   "How long a recipe's attention takes on a Hopper GPU, and what limits it.");
  add_options(line);
  line.note("Needs recipe and shape only. The model and its errors: docs/time-model.md.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  Question q;
  q.recipe = recipe::load_recipe(text_of(*given, "recipe").value_or("fa3_bf16"));
  if (const auto tile = text_of(*given, "tile")) q.recipe.mask.tile = parse_extent(*tile, "--tile");
  if (const auto window = text_of(*given, "window")) {
    q.recipe.mask.window = parse_extent(*window, "--window");
    q.recipe.mask.kind = recipe::MaskKind::window;
  }
  if (const auto kernel = text_of(*given, "kernel-version"))
    q.kernel = hopper::parse_kernel(*kernel);
  q.shape.batch = whole(*given, "batch", 1);
  const ModelRun run = model_run(*given, q);
  if (!run.model) read_shape(*given, q);

  std::vector<CostAnswer> answers;
  if (const auto gpus = text_of(*given, "compare")) {
    for (const std::string& gpu : numerics::split(*gpus)) {
      q.machine = hopper::load_machine(gpu);
      answers.push_back(answer(q, run, hopper::Detail::bounds, q.machine.name));
    }
  } else {
    q.machine = hopper::load_machine(text_of(*given, "gpu").value_or("H100"));
    if (const auto path = text_of(*given, "schedule")) {
      refuse_together(*given, "schedule",
                      {"recipe", "sweep", "tile", "window", "dense-steps", "trace", "svg"});
      answers = phases(*path, q, run);
    } else if (given->count("sweep") > 0) {
      answers = sweep(*given, q, run);
    } else {
      answers.push_back(answer(q, run, hopper::Detail::bounds, q.machine.name));
    }
  }

  const CostAnswer& first = answers.front();
  if (const auto path = text_of(*given, "trace"))
    files::write_file(*path, hopper::perfetto_trace(first.question, first.cost));
  if (const auto path = text_of(*given, "svg"))
    files::write_file(*path, hopper::cost_picture(first.question, first.cost));
  if (given->count("json") > 0) {
    files::Json body = cost_json(first);
    if (answers.size() > 1) {
      for (const CostAnswer& each : answers) body["answers"].push_back(cost_json(each));
    }
    if (given->count("schedule") > 0) {
      const hopper::RunTime total = together(answers);
      body["schedule"] = {{"run_s", total.run_s},
                          {"dense_run_s", total.dense_run_s},
                          {"speedup", total.speedup}};
    }
    print_json("cost", 1, body);
  } else if (given->count("csv") > 0) {
    std::fputs(cost_csv(answers).c_str(), stdout);
  } else {
    std::fputs((answers.size() > 1 ? cost_table(answers) : cost_text(first)).c_str(), stdout);
    if (given->count("schedule") > 0) {
      const hopper::RunTime total = together(answers);
      std::printf("whole run       %.0f s, dense BF16 %.0f s: %.2fx\n", total.run_s,
                  total.dense_run_s, total.speedup);
    }
  }
  return match;
}

}  // namespace karat::cli
