// Golden files: workloads, making, checking.
#include <chrono>

#include "call.hpp"
#include "given_mask.hpp"
#include "heads.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/request.hpp"
#include "karat/case/stages.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/diagnose_report.hpp"
#include "karat/golden/make.hpp"
#include "karat/golden/request.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

/// What karat_generate is asked for beside a workload.
struct GenerateRequest {
  bool d_o = false;
};
constexpr files::RequestField<GenerateRequest> kGenerateFields[] = {
    files::request::flag<&GenerateRequest::d_o>("do", "a gradient of the output too")};

files::TensorFile generate(const char* workload, int threads) {
  Fields fields(workload, "workload");
  cases::WorkloadRequest asked;
  fields.read(cases::workload_fields(), asked);
  fields.read(cases::token_fields(), asked);
  GenerateRequest more;
  fields.read(std::span<const files::RequestField<GenerateRequest>>(kGenerateFields), more);
  fields.finish();
  const auto inputs = cases::generated_inputs(asked);
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
      if (more.d_o) append("do", shape.heads, inputs->output_gradient(b, h));
      if (h % shape.group() != 0) continue;
      append("k", shape.kv_heads, values.k);
      append("v", shape.kv_heads, values.v);
    }
  return file;
}

files::Json make(const karat_make_args& args) {
  const GradientTensors gradient{.d_o = args.d_o, .d_o_type = args.d_o_type};
  const cases::Case of = cases::make_case(
      required(args.recipe, "recipe")->recipe,
      std::make_shared<const Heads>(args.input, Reads::all, gradient), given_mask(args));
  golden::MakeOptions options{.seed = args.seed,
                              .taps = args.taps == nullptr ? "" : args.taps,
                              .dq_taps = {},
                              .dkv_taps = {},
                              .threads = args.threads,
                              .passes = args.d_o != nullptr ? golden::Passes::forward_and_backward
                                                            : golden::Passes::forward,
                              .schedule = {},
                              .progress = {}};
  if (args.d_o == nullptr && (args.dq_taps != nullptr || args.dkv_taps != nullptr))
    throw Error(ErrorKind::usage, args.dq_taps != nullptr ? "dq_taps" : "dkv_taps",
                "names blocks of a backward, but d_o is not given", "give d_o, or leave it out");
  if (args.dq_taps != nullptr) options.dq_taps = args.dq_taps;
  if (args.dkv_taps != nullptr) options.dkv_taps = args.dkv_taps;
  if (const auto steps = steps_of(args.progress, args.context))
    options.progress = [steps](golden::Phase, std::size_t, std::size_t done, std::size_t total) {
      steps(done, total);
    };
  const golden::MakeSummary summary = golden::make(of, options, required(args.path, "path"));
  return to_json(summary, args.path, of.recipe);
}

/// What `judge` says of a candidate, with the options of a check or a diagnosis.
template <typename Options, typename Judge>
char* judged(const char* golden, const karat_candidate* candidate, const char* text,
             std::span<const files::RequestField<Options>> own,
             const std::function<void(std::size_t, std::size_t)>& progress, Judge judge) {
  Fields fields(text, "options");
  Options options;
  fields.read(golden::candidate_fields<Options>(), options);
  fields.read(golden::selection_fields<Options>(), options);
  fields.read(own, options);
  fields.finish();
  options.progress = progress;
  const golden::GoldenFile file(required(golden, "golden"));
  const auto source = source_of(*required(candidate, "candidate"));
  return handed_out(judge(file, *source, options).dump());
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_generate(const char* workload, int32_t threads, karat_tensors** result,
                            karat_error* error) {
  return c::guarded(error, [&] {
    c::required(result, "result");
    *result = c::handed_out(c::generate(workload, threads));
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
    *c::required(report, "report") = c::judged(
        golden, candidate, options, golden::check_fields(), c::steps_of(progress, context),
        [](const auto& file, const auto& source, const golden::CheckOptions& how) {
          const golden::CheckReport checked = golden::check(file, source, how);
          files::Json json = to_json(checked, file, source);
          json["text"] = to_text(checked, file, source);
          return json;
        });
  });
}

karat_status karat_diagnose(const char* golden, const karat_candidate* candidate,
                            const char* options, char** report, karat_progress progress,
                            void* context, karat_error* error) {
  return c::guarded(error, [&] {
    const auto begin = std::chrono::steady_clock::now();
    *c::required(report, "report") = c::judged(
        golden, candidate, options, golden::diagnose_fields(), c::steps_of(progress, context),
        [&](const auto& file, const auto& source, const golden::DiagnoseOptions& how) {
          const golden::Diagnosis diagnosis = golden::diagnose(file, source, how);
          const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
          files::Json json = to_json(diagnosis, file.subject(), source.subject(), time.count());
          json["text"] = to_text(diagnosis, file.subject(), source.subject());
          return json;
        });
  });
}
