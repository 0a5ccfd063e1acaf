// Options into a recipe and inputs.
#include "case/case_options.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "karat/case/metadata.hpp"
#include "karat/mask/strategy.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule.hpp"
#include "karat/video/models.hpp"
#include "request_options.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

using cxxopts::value;

double number(const cxxopts::ParseResult& given, const std::string& option, double otherwise) {
  const auto text = text_of(given, option);
  if (!text) return otherwise;
  std::size_t used = 0;
  double parsed = 0;
  try {
    parsed = std::stod(*text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used != text->size() || used == 0)
    throw Error(ErrorKind::usage, "--" + option, "\"" + *text + "\" is not a number", "give one");
  return parsed;
}

/// Options that describe a generated workload mean nothing beside --in.
void require_generated(const cxxopts::ParseResult& given) {
  for (const std::string_view option : {"model", "resolution", "heads", "batch", "workload",
                                        "channels", "sigma", "head-kind", "kv-heads"}) {
    if (option == "sigma" && given.count("schedule") > 0) continue;  // its phases may ask for it
    if (given.count(std::string(option)) > 0)
      throw Error(ErrorKind::usage, "--" + std::string(option),
                  "describes a generated workload, but --in gives the tensors", "leave one out");
  }
}

std::optional<video::Extent3> grid_option(const cxxopts::ParseResult& given) {
  const auto text = text_of(given, "grid");
  if (!text) return std::nullopt;
  return parse_grid(*text, "--grid");
}

/// The step of --step and --steps; counted from 0.
struct Step {
  int step = 0;
  int steps = 0;
  std::optional<double> sigma;  ///< --sigma, or the model's sampler at this step
};

std::optional<Step> step_of(const cxxopts::ParseResult& given) {
  const auto step = text_of(given, "step");
  if (!step) {
    if (given.count("steps") > 0)
      throw Error(ErrorKind::usage, "--steps", "says nothing without --step", "give --step too");
    return std::nullopt;
  }
  const video::Model* model = nullptr;
  if (const auto name = text_of(given, "model")) model = &video::find_model(*name);
  Step chosen{.step = whole(given, "step", 0, 0),
              .steps = whole(given, "steps", model ? model->sampler.steps : 50, 1)};
  if (chosen.step >= chosen.steps)
    throw Error(ErrorKind::usage, "--step",
                std::to_string(chosen.step) + " of " + std::to_string(chosen.steps) + " steps",
                "count from 0 to " + std::to_string(chosen.steps - 1));
  if (given.count("sigma") > 0)
    chosen.sigma = number(given, "sigma", 0);
  else if (model && model->sampler.kind == video::SamplerKind::rectified_flow)
    chosen.sigma = video::sigma(*model, chosen.step, chosen.steps);
  return chosen;
}

/// The recipe of --recipe, or the one --schedule has for the step; nothing when neither is given.
std::optional<recipe::Recipe> chosen_recipe(const cxxopts::ParseResult& given, CaseChoice& choice) {
  const auto recipe = text_of(given, "recipe");
  const auto path = text_of(given, "schedule");
  if (!path) return recipe ? std::optional(recipe::load_recipe(*recipe)) : std::nullopt;
  if (recipe)
    throw Error(ErrorKind::usage, "--schedule", "and --recipe exclude each other", "leave one out");
  const auto step = step_of(given);
  if (!step)
    throw Error(ErrorKind::usage, "--schedule", "has a recipe for every step, but no step is given",
                "add --step 17 --steps 50");
  const recipe::Schedule schedule = recipe::load_schedule(*path);
  const std::size_t phase = recipe::phase_of(schedule, step->step, step->steps, step->sigma);
  files::Json picked{
      {"name",
       schedule.name.empty() ? std::filesystem::path(*path).filename().string() : schedule.name},
      {"step", step->step},
      {"steps", step->steps},
      {"phase", phase}};
  if (step->sigma) picked["sigma"] = *step->sigma;
  choice.schedule = picked.dump();
  return schedule.phases[phase].recipe;
}

/// --mask: FastVideo's windows of a step and layer, or arrays; null without it.
std::shared_ptr<const cases::GivenMask> mask_option(const cxxopts::ParseResult& given,
                                                    std::size_t first_head, std::size_t heads) {
  const auto path = text_of(given, "mask");
  if (!path || !path->ends_with(".json")) return mask_file(given);
  const auto layer = text_of(given, "layer");
  const auto step = step_of(given);
  if (!layer || !step)
    throw Error(ErrorKind::usage, "--mask", "a strategy has windows for every step and layer",
                "add --step S and --layer L");
  const auto strategy = mask::parse_window_strategy(files::read_json(*path).dump(), *path);
  return std::make_shared<cases::GivenMask>(cases::GivenMask::of_strategy(
      strategy, step->step, whole(given, "layer", 0, 0), first_head, heads));
}

video::WorkloadSpec workload(const cxxopts::ParseResult& given, std::uint64_t seed) {
  video::WorkloadSpec spec;
  spec.seed = seed;
  if (const auto name = text_of(given, "model")) {
    const video::Model& model = video::find_model(*name);
    const auto resolution = text_of(given, "resolution");
    spec.grid = video::token_grid(
        model, resolution ? video::find_resolution(model, *resolution) : model.resolutions.front());
    spec.head_dim = model.head_dim;
  } else if (given.count("resolution") > 0) {
    throw Error(ErrorKind::usage, "--resolution", "needs a model", "add --model wan2.1-14b");
  } else if (given.count("grid") == 0) {
    throw Error(ErrorKind::usage, "karat", "nothing to compute",
                "give --in FILE, --model NAME or --grid T,H,W");
  }
  if (const auto grid = grid_option(given)) spec.grid = *grid;
  if (const auto kind = text_of(given, "workload")) spec.kind = video::find_workload_kind(*kind);
  if (const auto kind = text_of(given, "head-kind")) spec.head_kind = video::find_head_kind(*kind);
  spec.text = whole(given, "text", 0, 0);
  spec.batch = whole(given, "batch", 1, 1);
  spec.head_dim = whole(given, "channels", spec.head_dim, 1);
  const auto step = step_of(given);
  spec.sigma = step && step->sigma ? *step->sigma : number(given, "sigma", spec.sigma);
  return spec;
}

}  // namespace

void add_case_options(CommandLine& line) {
  line.add("Case")("recipe", "a preset (karat recipes) or a .json file", value<std::string>())(
      "schedule", "a .json file of phases, instead of a recipe", value<std::string>())(
      "step", "denoising step, from 0: picks the schedule's recipe and the model's sigma",
      value<std::string>())("steps", "of the run; the model's, or 50", value<std::string>())(
      "in",
      "q, k, v (or q_codes, q_scale, ...): safetensors, npy, HDF5 or golden; commas join files",
      value<std::string>())("layout", "of --in: BHSD or BSHD",
                            value<std::string>()->default_value("BHSD"))(
      "grid", "T,H,W tokens, where --in does not say; 1,1,S: a row", value<std::string>())(
      "model", "generate heads of this video model's size", value<std::string>())(
      "resolution", "of the model: 480p, 720p or WIDTHxHEIGHTxFRAMES", value<std::string>())(
      "text", "tokens of text behind the video's", value<std::string>())(
      "mask",
      "mask [S,S], mask_id, BlockMask arrays, or FastVideo's strategy .json (--step, --layer)",
      value<std::string>())(
      "mask-order", "what --mask's rows count: tokens (default) or positions of the recipe's order",
      value<std::string>())("layer", "of the strategy", value<std::string>())(
      "workload", "video (default), gaussian, ties, one_hot, ...", value<std::string>())(
      "head-kind", "local, spatial, temporal, global or sink", value<std::string>())(
      "channels", "head dimension of a generated workload", value<std::string>())(
      "sigma", "noise level of the denoising step, 0 to 1", value<std::string>())(
      "heads", "how many heads to generate", value<std::string>())(
      "kv-heads", "heads of K and V, a divisor of --heads", value<std::string>())(
      "head", "one head alone", value<std::string>())("batch", "batch entries to generate",
                                                      value<std::string>())(
      "seed", "of workload, taps and truth rows", value<std::string>()->default_value("0"))(
      "threads", "0: all the machine has", value<std::string>()->default_value("0"));
}

std::shared_ptr<const cases::GivenMask> mask_file(const cxxopts::ParseResult& given) {
  const auto path = text_of(given, "mask");
  const auto order = text_of(given, "mask-order");
  std::optional<cases::MaskOrder> read_by;
  if (order) read_by = cases::parse_mask_order(*order, "--mask-order");
  if (path) return std::make_shared<cases::GivenMask>(cases::GivenMask::open(*path, read_by));
  if (!order) return nullptr;
  throw Error(ErrorKind::usage, "--mask-order", "says nothing without --mask", "leave it out");
}

CaseChoice choose_case(const cxxopts::ParseResult& given) {
  CaseChoice choice;
  choice.seed = static_cast<std::uint64_t>(parse_integer(
      given["seed"].as<std::string>(), "--seed", 0, std::numeric_limits<std::int64_t>::max()));
  choice.threads =
      static_cast<int>(parse_integer(given["threads"].as<std::string>(), "--threads", 0, 1024));
  const auto recipe = chosen_recipe(given, choice);
  const auto head = text_of(given, "head");
  const auto first = static_cast<std::size_t>(head ? parse_integer(*head, "--head", 0) : 0);
  const auto chosen = [&](recipe::Recipe made, std::shared_ptr<const cases::Inputs> inputs) {
    auto mask = mask_option(given, first, inputs->shape().heads);
    choice.of = cases::make_case(std::move(made), std::move(inputs), std::move(mask));
    return std::move(choice);
  };
  if (const auto in = text_of(given, "in")) {
    require_generated(given);
    const auto words = numerics::words(*in);
    const std::vector<std::filesystem::path> paths(words.begin(), words.end());
    if (paths.empty()) throw Error(ErrorKind::usage, "--in", "names no file", "give one");
    cases::FileInputOptions options{
        .grid = grid_option(given),
        .layout = cases::parse_layout(given["layout"].as<std::string>())};
    if (head) options.only_head = first;
    std::optional<recipe::Recipe> own;
    if (!recipe)
      own = cases::recipe_of(cases::TensorSource::open(paths.front())->metadata(),
                             paths.front().string());
    if (!recipe && !own)
      throw Error(ErrorKind::usage, "--recipe", "missing", "give a preset or a .json file");
    if (given.count("text") > 0) options.text = whole(given, "text", 0, 0);
    return chosen(recipe ? *recipe : *own, cases::file_inputs(paths, options));
  }
  if (!recipe)
    throw Error(ErrorKind::usage, "--recipe", "missing", "give a preset or a .json file");
  video::WorkloadSpec spec = workload(given, choice.seed);
  if (head && given.count("heads") > 0)
    throw Error(ErrorKind::usage, "--head", "and --heads exclude each other", "leave one out");
  spec.heads = head ? static_cast<int>(first) + 1 : whole(given, "heads", 1, 1);
  if (head && given.count("kv-heads") > 0)
    throw Error(ErrorKind::usage, "--kv-heads", "says nothing about one head alone",
                "give --heads instead of --head");
  const auto kv_heads = static_cast<std::size_t>(whole(given, "kv-heads", 0, 1));
  return chosen(*recipe, cases::generated_inputs(spec, first, kv_heads));
}

}  // namespace karat::cli
