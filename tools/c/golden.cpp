// Golden files: workloads, making, checking.
#include <chrono>

#include "call.hpp"
#include "given_mask.hpp"
#include "heads.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/stages.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/diagnose_report.hpp"
#include "karat/golden/make.hpp"
#include "karat/golden/request.hpp"
#include "karat/recipe/evidence.hpp"
#include "karat/video/models.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

constexpr std::int64_t kMostInt = std::numeric_limits<std::int32_t>::max();

/// Heads as a workload's JSON asks for them.
struct Workload {
  video::WorkloadSpec spec;
  std::size_t kv_heads = 0;
};

Workload workload(const char* text) {
  Fields fields(object_of(text, "workload"), "workload");
  video::WorkloadSpec spec;
  if (fields.has("model")) {
    const video::Model& model = video::find_model(fields.text("model", ""));
    spec.grid =
        video::token_grid(model, fields.has("resolution")
                                     ? video::find_resolution(model, fields.text("resolution", ""))
                                     : model.resolutions.front());
    spec.head_dim = model.head_dim;
  } else if (fields.has("resolution")) {
    throw Error(ErrorKind::usage, "workload.resolution", "needs a model", "add \"model\"");
  }
  if (fields.has("grid")) spec.grid = fields.extent("grid");
  if (fields.has("kind")) spec.kind = video::find_workload_kind(fields.text("kind", ""));
  if (fields.has("head_kind")) spec.head_kind = video::find_head_kind(fields.text("head_kind", ""));
  spec.text = static_cast<int>(fields.whole("text", 0, 0, kMostInt));
  spec.batch = static_cast<int>(fields.whole("batch", 1, 1, kMostInt));
  spec.heads = static_cast<int>(fields.whole("heads", 1, 1, kMostInt));
  spec.head_dim = static_cast<int>(fields.whole("head_dim", spec.head_dim, 1, kMostInt));
  spec.sigma = fields.number("sigma", spec.sigma);
  spec.seed = static_cast<std::uint64_t>(
      fields.whole("seed", 0, 0, std::numeric_limits<std::int64_t>::max()));
  const auto kv_heads = static_cast<std::size_t>(fields.whole("kv_heads", 0, 0, kMostInt));
  fields.finish();
  return {.spec = spec, .kv_heads = kv_heads};
}

files::TensorFile generate(const Workload& asked, int threads) {
  const auto inputs = cases::generated_inputs(asked.spec, 0, asked.kv_heads);
  const cases::InputShape& shape = inputs->shape();
  files::TensorFile file{.tensors = {}, .metadata = {{"grid", video::to_string(shape.grid)}}};
  if (shape.text > 0) file.metadata["text"] = std::to_string(shape.text);
  for (std::size_t b = 0; b < shape.batch; ++b)
    for (std::size_t h = 0; h < shape.heads; ++h) {
      const cases::HeadValues values = inputs->values(b, h, threads);
      const auto append = [&](const char* name, std::size_t heads, const std::vector<float>& rows) {
        cases::append_head(
            file.tensors, name, shape.batch, heads,
            cases::encoded(rows, numerics::FormatId::bf16, {shape.tokens(), shape.channels}));
      };
      append("q", shape.heads, values.q);
      if (h % shape.group() != 0) continue;
      append("k", shape.kv_heads, values.k);
      append("v", shape.kv_heads, values.v);
    }
  return file;
}

files::Json make(const karat_make_args& args) {
  const cases::Case of =
      cases::make_case(required(args.recipe, "recipe")->recipe,
                       std::make_shared<const Heads>(args.input), given_mask(args));
  golden::MakeOptions options{.seed = args.seed,
                              .taps = args.taps == nullptr ? "" : args.taps,
                              .threads = args.threads,
                              .schedule = {},
                              .progress = {}};
  if (const auto steps = steps_of(args.progress, args.context))
    options.progress = [steps](golden::Phase, std::size_t, std::size_t done, std::size_t total) {
      steps(done, total);
    };
  const golden::MakeSummary summary = golden::make(of, options, required(args.path, "path"));
  return {{"file", args.path},
          {"sha256", summary.seal.sha256},
          {"bytes", summary.seal.bytes},
          {"heads", summary.heads},
          {"multiply_adds", summary.multiply_adds},
          {"attention_seconds", summary.attention_seconds},
          {"truth_multiply_adds", summary.truth_multiply_adds},
          {"truth_seconds", summary.truth_seconds},
          {"saturated_p_codes", summary.saturated_p_codes},
          {"evidence", evidence_json(of.recipe)}};
}

/// The options of a check or a diagnosis.
template <typename Options>
Options options_of(const char* text, std::span<const files::RequestField<Options>> own) {
  Fields fields(object_of(text, "options"), "options");
  Options options;
  fields.read(golden::candidate_fields<Options>(), options);
  fields.read(golden::selection_fields<Options>(), options);
  fields.read(own, options);
  fields.finish();
  return options;
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_generate(const char* workload, int32_t threads, karat_tensors** result,
                            karat_error* error) {
  return c::guarded(error, [&] {
    c::required(result, "result");
    *result = c::handed_out(c::generate(c::workload(workload), threads));
  });
}

karat_status karat_make(const karat_make_args* args, char** summary, karat_error* error) {
  return c::guarded(error, [&] {
    c::require_size(c::required(args, "args")->size, sizeof *args, "karat_make_args");
    const files::Json made = c::make(*args);
    if (summary != nullptr) *summary = c::handed_out(made.dump());
  });
}

karat_status karat_check(const char* golden, const karat_candidate* candidate, const char* options,
                         char** report, karat_progress progress, void* context,
                         karat_error* error) {
  return c::guarded(error, [&] {
    c::required(report, "report");
    golden::CheckOptions how = c::options_of(options, golden::check_fields());
    how.progress = c::steps_of(progress, context);
    const golden::GoldenFile file(c::required(golden, "golden"));
    const auto source = c::source_of(*c::required(candidate, "candidate"));
    *report = c::handed_out(to_json(golden::check(file, *source, how), file, *source).dump());
  });
}

karat_status karat_diagnose(const char* golden, const karat_candidate* candidate,
                            const char* options, char** report, karat_progress progress,
                            void* context, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(report, "report");
    golden::DiagnoseOptions how = c::options_of(options, golden::diagnose_fields());
    how.progress = c::steps_of(progress, context);
    const golden::GoldenFile file(c::required(golden, "golden"));
    const auto source = c::source_of(*c::required(candidate, "candidate"));
    const auto begin = std::chrono::steady_clock::now();
    const golden::Diagnosis diagnosis = golden::diagnose(file, *source, how);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    *report =
        c::handed_out(to_json(diagnosis, file.subject(), source->subject(), time.count()).dump());
  });
}
