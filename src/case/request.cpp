// The rows of case/request.hpp, and what they make of a case.
#include "karat/case/request.hpp"

#include <nlohmann/json.hpp>

#include "karat/case/all_heads.hpp"
#include "karat/case/backward.hpp"
#include "karat/case/metadata.hpp"
#include "karat/mask/strategy.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule.hpp"
#include "karat/video/models.hpp"

namespace karat::cases {
namespace {

namespace request = files::request;

constexpr files::RequestField<WorkloadRequest> kWorkloadFields[] = {
    request::text<&WorkloadRequest::model>("model", "generate heads of this video model's size"),
    request::text<&WorkloadRequest::resolution>("resolution",
                                                "of the model: 480p, 720p or WIDTHxHEIGHTxFRAMES"),
    request::called("workload", request::parsed<&WorkloadRequest::kind, video::find_workload_kind>(
                                    "kind", "video (default), gaussian, ties, one_hot, ...")),
    request::parsed<&WorkloadRequest::head_kind, video::find_head_kind>(
        "head_kind", "local, spatial, temporal, global or sink"),
    request::called("channels", request::whole<&WorkloadRequest::head_dim>(
                                    "head_dim", "head dimension of a generated workload", 1)),
    request::whole<&WorkloadRequest::heads>("heads", "how many heads to generate", 1),
    request::whole<&WorkloadRequest::kv_heads>("kv_heads", "heads of K and V, a divisor of --heads",
                                               0),
    request::whole<&WorkloadRequest::batch>("batch", "batch entries to generate", 1)};

constexpr files::RequestField<WorkloadRequest> kTokenFields[] = {
    request::extent<&WorkloadRequest::grid>("grid",
                                            "T,H,W tokens, where --in does not say; 1,1,S: a row"),
    request::whole<&WorkloadRequest::text>("text", "tokens of text behind the video's", 0),
    request::number<&WorkloadRequest::sigma>("sigma", "noise level of the denoising step, 0 to 1",
                                             0, 1'000'000),  // schedules go that far
    request::whole<&WorkloadRequest::seed>("seed", "of workload, taps and truth rows (0)", 0,
                                           std::numeric_limits<std::int64_t>::max())};

constexpr numerics::Named<GradientOrigin> kGradientOrigins[] = {
    {"given", GradientOrigin::given}, {"generated", GradientOrigin::generated}};
constexpr numerics::Named<ForwardOrigin> kForwardOrigins[] = {{"computed", ForwardOrigin::computed},
                                                              {"given", ForwardOrigin::given}};

constexpr files::RequestField<CaseRequest> kCaseFields[] = {
    request::text<&CaseRequest::recipe>("recipe", "a preset (karat recipes) or a .json file"),
    request::text<&CaseRequest::schedule>("schedule",
                                          "a .json file of phases, instead of a recipe"),
    request::whole<&CaseRequest::step>(
        "step", "denoising step, from 0: picks the schedule's recipe and the model's sigma", 0),
    request::whole<&CaseRequest::steps>("steps", "of the run; the model's, or 50", 1),
    request::text<&CaseRequest::in>(
        "in",
        "q, k, v (or q_codes, q_scale, ...): safetensors, npy, HDF5 or golden; commas join files"),
    request::parsed<&CaseRequest::layout, parse_layout>("layout",
                                                        "of --in: BHSD (default) or BSHD"),
    request::whole<&CaseRequest::head>("head", "one head alone", 0),
    request::text<&CaseRequest::mask>(
        "mask",
        "mask [S,S], mask_id, BlockMask arrays, or FastVideo's strategy .json (--step, --layer)"),
    request::parsed<&CaseRequest::mask_order, parse_mask_order>(
        "mask_order",
        "what --mask's rows count: tokens (default) or positions of the recipe's order"),
    request::whole<&CaseRequest::layer>("layer", "of the strategy", 0),
    request::flag<&CaseRequest::backward>(
        "backward", "the gradients too: of recipes whose backward.loop is not none"),
    request::choice<&CaseRequest::output_gradient, kGradientOrigins>(
        "do", "gradient of o: given (as do in --in) or generated (from --seed); given with --in"),
    request::choice<&CaseRequest::forward, kForwardOrigins>(
        "forward", "o and lse that the backward reads: computed, or given in --in", "computed"),
    request::whole<&CaseRequest::threads>("threads", "0: all the machine has", 0, 1024)};

[[noreturn]] void refuse(const std::string& subject, const std::string& problem,
                         const std::string& action = "leave one out") {
  throw Error(ErrorKind::usage, subject, problem, action);
}

/// A step counted from 0, and its noise level where one is known.
struct Step {
  int step = 0;
  int steps = 0;
  std::optional<double> sigma;
};

std::optional<Step> step_of(const CaseRequest& asked) {
  if (!asked.step) {
    if (asked.steps) refuse("--steps", "says nothing without --step", "give --step too");
    return std::nullopt;
  }
  const video::Model* model = nullptr;
  if (asked.workload.model) model = &video::find_model(*asked.workload.model);
  Step chosen{.step = *asked.step,
              .steps = asked.steps.value_or(model ? model->sampler.steps : 50),
              .sigma = asked.workload.sigma};
  if (chosen.step >= chosen.steps)
    refuse("--step", std::to_string(chosen.step) + " of " + std::to_string(chosen.steps) + " steps",
           "count from 0 to " + std::to_string(chosen.steps - 1));
  if (!chosen.sigma && model && model->sampler.kind == video::SamplerKind::rectified_flow)
    chosen.sigma = video::sigma(*model, chosen.step, chosen.steps);
  return chosen;
}

/// The schedule's recipe for the step; says in `chosen` what was picked.
recipe::Recipe scheduled(const CaseRequest& asked, const std::optional<Step>& step,
                         ChosenCase& chosen) {
  if (asked.recipe) refuse("--schedule", "and --recipe exclude each other");
  if (!step)
    refuse("--schedule", "has a recipe for every step, but no step is given",
           "add --step 17 --steps 50");
  const std::filesystem::path path = *asked.schedule;
  const recipe::Schedule schedule = recipe::load_schedule(path);
  const std::size_t phase = recipe::phase_of(schedule, step->step, step->steps, step->sigma);
  files::Json picked{{"name", schedule.name.empty() ? path.filename().string() : schedule.name},
                     {"step", step->step},
                     {"steps", step->steps},
                     {"phase", phase}};
  if (step->sigma) picked["sigma"] = *step->sigma;
  chosen.schedule = picked.dump();
  return schedule.phases[phase].recipe;
}

/// A scale of all heads is not known from one of them. Codes bring theirs.
void require_all_heads(const CaseRequest& asked, const recipe::Recipe& recipe,
                       const Inputs& inputs) {
  if (!asked.head || inputs.coded() || !scales_all_heads(recipe)) return;
  refuse(
      "--head",
      "is one head alone, and recipe " + recipe.name + " scales by the largest value of all heads",
      "leave --head out");
}

/// What describes a backward has a meaning only there.
void require_backward_asked(const CaseRequest& asked) {
  if (asked.output_gradient && !asked.backward)
    refuse("--do", "says nothing without --backward", "give --backward too");
  const bool given = asked.forward == ForwardOrigin::given;
  if (given && !asked.backward)
    refuse("--forward", "says nothing without --backward", "give --backward too");
  if (given && !asked.in) refuse("--forward given", "needs --in", "give a file with o and lse");
  if (!asked.in && asked.output_gradient == GradientOrigin::given)
    refuse("--do given", "needs --in", "give a file with q, k, v and do");
}

std::vector<std::filesystem::path> paths_of(const CaseRequest& asked) {
  const auto words = numerics::words(*asked.in);
  if (words.empty()) refuse("--in", "names no file", "give one");
  if (asked.workload.sigma && !asked.schedule)  // a schedule's phases may ask for it
    refuse("--sigma", "describes a generated workload, but --in gives the tensors");
  return {words.begin(), words.end()};
}

/// The mask in place of the recipe's: of the strategy's windows those of the case's heads.
std::shared_ptr<const GivenMask> mask_of(const CaseRequest& asked, const std::optional<Step>& step,
                                         std::size_t heads) {
  if (!asked.mask || !asked.mask->ends_with(".json"))
    return mask_file(asked.mask, asked.mask_order);
  if (!asked.layer || !step)
    refuse("--mask", "a strategy has windows for every step and layer",
           "add --step S and --layer L");
  const auto strategy =
      mask::parse_window_strategy(files::read_json(*asked.mask).dump(), *asked.mask);
  const auto first = static_cast<std::size_t>(asked.head.value_or(0));
  return std::make_shared<GivenMask>(
      GivenMask::of_strategy(strategy, step->step, *asked.layer, first, heads));
}

}  // namespace

std::span<const files::RequestField<WorkloadRequest>> workload_fields() { return kWorkloadFields; }
std::span<const files::RequestField<WorkloadRequest>> token_fields() { return kTokenFields; }
std::span<const files::RequestField<CaseRequest>> case_fields() { return kCaseFields; }

std::unique_ptr<Inputs> generated_inputs(const WorkloadRequest& asked,
                                         std::optional<int> only_head) {
  if (only_head && asked.heads) refuse("--head", "and --heads exclude each other");
  if (only_head && asked.kv_heads)
    refuse("--kv-heads", "says nothing about one head alone", "give --heads instead of --head");
  if (asked.resolution && !asked.model)
    refuse("resolution", "needs a model", "name one, for example wan2.1-14b");
  video::WorkloadSpec spec;
  if (asked.model) {
    const video::Model& model = video::find_model(*asked.model);
    spec.grid =
        video::token_grid(model, asked.resolution ? video::find_resolution(model, *asked.resolution)
                                                  : model.resolutions.front());
    spec.head_dim = model.head_dim;
  }
  spec.kind = asked.kind.value_or(spec.kind);
  spec.grid = asked.grid.value_or(spec.grid);
  spec.text = asked.text.value_or(spec.text);
  spec.batch = asked.batch.value_or(spec.batch);
  spec.heads = only_head ? *only_head + 1 : asked.heads.value_or(spec.heads);
  spec.head_dim = asked.head_dim.value_or(spec.head_dim);
  spec.seed = asked.seed;
  spec.sigma = asked.sigma.value_or(spec.sigma);
  spec.head_kind = asked.head_kind;
  return generated_inputs(spec, static_cast<std::size_t>(only_head.value_or(0)),
                          asked.kv_heads.value_or(0));
}

ChosenCase choose_case(const CaseRequest& asked) {
  ChosenCase chosen;
  require_backward_asked(asked);
  const auto step = step_of(asked);
  std::optional<recipe::Recipe> recipe;
  if (asked.schedule)
    recipe = scheduled(asked, step, chosen);
  else if (asked.recipe)
    recipe = recipe::load_recipe(*asked.recipe);
  std::shared_ptr<const Inputs> inputs;
  if (asked.in) {
    const auto paths = paths_of(asked);
    if (!recipe)
      recipe = recipe_of(TensorSource::open(paths.front())->metadata(), paths.front().string());
    FileInputOptions options{
        .grid = asked.workload.grid, .text = asked.workload.text, .layout = asked.layout};
    if (asked.head) options.only_head = static_cast<std::size_t>(*asked.head);
    if (asked.backward) {
      options.output_gradient = asked.output_gradient.value_or(GradientOrigin::given);
      options.seed = asked.workload.seed;
      options.forward = asked.forward;
    }
    if (recipe) inputs = file_inputs(paths, options);
  } else if (recipe) {
    WorkloadRequest workload = asked.workload;
    if (!workload.model && !workload.grid && !workload.resolution)
      refuse("karat", "nothing to compute", "give --in FILE, --model NAME or --grid T,H,W");
    if (step && step->sigma) workload.sigma = step->sigma;
    inputs = generated_inputs(workload, asked.head);
  }
  if (!recipe) refuse("--recipe", "missing", "give a preset or a .json file");
  if (asked.backward) require_backward(*recipe);
  require_all_heads(asked, *recipe, *inputs);
  auto mask = mask_of(asked, step, inputs->shape().heads);
  chosen.of = make_case(std::move(*recipe), std::move(inputs), std::move(mask));
  return chosen;
}

std::shared_ptr<const GivenMask> mask_file(const std::optional<std::string>& path,
                                           std::optional<MaskOrder> order) {
  if (path) return std::make_shared<GivenMask>(GivenMask::open(*path, order));
  if (order) refuse("--mask-order", "says nothing without --mask", "leave it out");
  return nullptr;
}

}  // namespace karat::cases
