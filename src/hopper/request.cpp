// The rows of what can be asked, and what they make of a question.
#include "karat/hopper/request.hpp"

#include <cstdint>

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

namespace request = files::request;

constexpr numerics::Named<LinearFormat> kLinearFormats[] = {{"bf16", LinearFormat::bf16},
                                                            {"fp8", LinearFormat::fp8},
                                                            {"fp8_block", LinearFormat::fp8_block}};

constexpr files::RequestField<KernelRequest> kKernelFields[] = {
    request::text<&KernelRequest::gpu>(
        "gpu",
        "H100 (default, SXM), H100-PCIe, H100-NVL, H200, H800, H800-PCIe, H20, H20-3e or "
        "FILE.json"),
    request::called(
        "kernel-version",
        request::parsed<&KernelRequest::kernel, parse_kernel>(
            "kernel",
            "fa2, fa3 (of 2025), fa3-2024, sta, flex, sage2 or fpsattention; default: the "
            "recipe's own")),
    request::whole<&KernelRequest::batch>("batch", "batch", 1),
    request::number<&KernelRequest::power_w>(
        "power", "power limit in W of a board that power limits; default: its own", 50, 2000),
    request::flag<&KernelRequest::varlen>("varlen", "sequences packed, as by cu_seqlens"),
    request::flag<&KernelRequest::split_keys>("split_keys",
                                              "few query tiles may share their keys out"),
    request::flag<&KernelRequest::backward>(
        "backward", "the gradients' kernels too (predicted, not validated)"),
    request::number<&KernelRequest::density>(
        "density",
        "share, above 0, of the key blocks that a mask predicted from Q and K, or left by the step "
        "before, keeps; default: predict.share where the recipe says it",
        0, 1)};

constexpr files::RequestField<ModelRequest> kModelFields[] = {
    request::text<&ModelRequest::model>("model",
                                        "wan2.1-1.3b, wan2.1-14b, wan2.2-t2v-14b, "
                                        "wan2.2-i2v-14b, hunyuanvideo, cogvideox-5b"),
    request::text<&ModelRequest::resolution>("resolution",
                                             "480p, 720p, ... or WIDTHxHEIGHTxFRAMES"),
    request::whole<&ModelRequest::frames>("frames", "instead of the resolution's own", 1),
    request::whole<&ModelRequest::steps>("steps", "denoising steps of a run", 1),
    request::whole<&ModelRequest::forwards>("forwards",
                                            "forwards a step: 2 with guidance, 1 without", 1),
    request::whole<&ModelRequest::dense_steps>("dense_steps",
                                               "first steps with dense BF16 attention", 0),
    request::whole<&ModelRequest::gpus>("gpus", "sequence-parallel degree", 1),
    request::choice<&ModelRequest::linear, kLinearFormats>("linear",
                                                           "bf16, fp8 or fp8_block linear layers"),
    request::number<&ModelRequest::launch_gap_us>("launch_gap_us",
                                                  "between two kernels (open; default 1)", 0, 1000),
    request::number<&ModelRequest::exchange_us>(
        "exchange_us", "latency of an exchange between GPUs (open; default 20)", 0, 1e5),
    request::number<&ModelRequest::outside_share>(
        "outside_share",
        "VAE, text encoder and sampler, of the dense run's time (open; default 0.05)", 0, 10)};

constexpr files::RequestField<ShapeRequest> kShapeFields[] = {
    request::called("seqlen", request::whole<&ShapeRequest::tokens>("tokens", "tokens", 1)),
    request::extent<&ShapeRequest::grid>("grid", "tokens as T,H,W"),
    request::whole<&ShapeRequest::heads>("heads", "heads", 1),
    request::whole<&ShapeRequest::kv_heads>("kv_heads", "heads of K and V (default: heads)", 1),
    request::whole<&ShapeRequest::head_dim>("head_dim", "channels of a head", 1),
    {.name = "causal",
     .meaning = "keys up to the query's own",
     .kind = files::FieldKind::flag,
     .write = [](ShapeRequest& asked, const files::FieldValue& value, const std::string&) {
       asked.causality = std::get<bool>(value) ? Causality::causal : Causality::none;
     }}};

}  // namespace

std::span<const files::RequestField<KernelRequest>> kernel_fields() { return kKernelFields; }
std::span<const files::RequestField<ModelRequest>> model_fields() { return kModelFields; }
std::span<const files::RequestField<ShapeRequest>> shape_fields() { return kShapeFields; }

void ask(Question& question, const KernelRequest& request) {
  question.machine = load_machine(request.gpu);
  if (request.power_w) limit_power(question.machine, question.timing, *request.power_w);
  question.kernel = request.kernel;
  question.shape.batch = request.batch;
  question.lengths = request.varlen ? Lengths::varying : Lengths::fixed;
  question.splits = request.split_keys ? Splits::heuristic : Splits::never;
  question.density = request.density;
  question.gradients = request.backward ? Gradients::computed : Gradients::none;
}

RunRequest run_of(const ModelRequest& request) {
  const video::Model& model = video::find_model(request.model);
  video::Resolution resolution = request.resolution
                                     ? video::find_resolution(model, *request.resolution)
                                     : model.resolutions.front();
  resolution.frames = request.frames.value_or(resolution.frames);
  RunRequest run{.model = &model,
                 .grid = video::token_grid(model, resolution),
                 .steps = request.steps.value_or(model.sampler.steps),
                 .forwards_per_step = request.forwards.value_or(model.sampler.forwards_per_step),
                 .dense_steps = request.dense_steps,
                 .gpus = request.gpus,
                 .linear = request.linear};
  run.launch_gap_us = request.launch_gap_us.value_or(run.launch_gap_us);
  run.exchange_us = request.exchange_us.value_or(run.exchange_us);
  run.outside_share = request.outside_share.value_or(run.outside_share);
  return run;
}

RunRequest ask(Question& question, const ModelRequest& request) {
  const RunRequest run = run_of(request);
  question = ask_model(question, *run.model, run.grid);
  return run;
}

void ask(Question& question, const ShapeRequest& request) {
  if (request.tokens && request.grid)
    throw Error(ErrorKind::usage, "grid", "stands beside a number of tokens, which follows from it",
                "leave one out");
  if (!request.tokens && !request.grid)
    throw Error(ErrorKind::usage, "shape", "is missing",
                "give a model and a resolution, a number of tokens, or a grid T,H,W");
  if (request.grid && double(request.grid->t) * request.grid->h * request.grid->w > INT32_MAX)
    throw Error(ErrorKind::usage, "grid",
                video::to_string(*request.grid) + " has more than 2^31 - 1 tokens",
                "use a smaller grid");
  question.grid = request.grid;
  question.shape.queries = question.shape.keys =
      request.grid ? request.grid->volume() : *request.tokens;
  question.shape.heads = request.heads;
  question.shape.kv_heads = request.kv_heads;
  question.shape.head_dim = request.head_dim;
  question.shape.causality = request.causality;
}

}  // namespace karat::hopper
