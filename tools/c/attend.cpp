// Attention head by head into the caller's buffers, with the stages on request.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>

#include "call.hpp"
#include "given_mask.hpp"
#include "heads.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/case/case.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/side_by_side.hpp"
#include "karat/case/stages.hpp"
#include "karat/case/taps.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

void require_output_type(const karat_attend_args& args) {
  if (args.o == nullptr) return;
  const files::DType made = cases::dtype_of(attention::output_format(args.recipe->recipe));
  if (dtype_of(required(args.o_type, "o_type")) == made) return;
  throw Error(
      ErrorKind::usage, "o_type",
      std::string(args.o_type) + " where the recipe writes " + std::string(files::info(made).name),
      "give room of that type");
}

/// [B][H][S] of one head.
void put(float* all, std::size_t number, std::span<const float> head) {
  if (all != nullptr) std::ranges::copy(head, all + number * head.size());
}

/// What a head leaves, as it is handed out.
struct HeadTensors {
  files::Tensors outputs;  ///< codes, scales and branch, under names that heads share
  files::Tensors taps;     ///< under names of their own
};

/// Codes and scales of a head under their stage names. The heads of a group share those of k and
/// v: its first has them.
HeadTensors stages_of(const recipe::Recipe& recipe, const cases::InputShape& shape,
                      const cases::HeadAtWork& work, const attention::HeadResult& result) {
  HeadTensors made;
  const attention::QuantisedHead& head = work.operands;
  for (const auto& [name, operand] : {std::pair{"q", &head.q}, {"k", &head.k}, {"v", &head.v}}) {
    const bool q = operand == &head.q;
    if (!q && work.head % shape.group() != 0) continue;
    cases::OperandTensors tensors = cases::operand_tensors(
        *operand, q ? work.layout.order : work.layout.key_order, shape.channels);
    const std::string stage = name;
    made.outputs[stage + "_codes"] = std::move(tensors.codes);
    if (tensors.scale) made.outputs[stage + "_scale"] = std::move(*tensors.scale);
  }
  if (!head.branch.empty())
    made.outputs["branch"] =
        cases::encoded(head.branch, recipe.branch.format, {shape.tokens(), shape.channels});
  for (const attention::BlockTap& tap : result.taps)
    for (auto& [name, tensor] : cases::tap_tensors(recipe, work.layout, tap))
      made.taps[cases::tap_name(work.batch, work.head, tap.query_block, name)] = std::move(tensor);
  return made;
}

void append(files::Tensors& stages, const cases::InputShape& shape, HeadTensors&& made) {
  for (const auto& [name, tensor] : made.outputs) {
    const bool shared = name.starts_with("k_") || name.starts_with("v_");
    cases::append_head(stages, name, shape.batch,
                       shared ? shape.heads / shape.group() : shape.heads, tensor);
  }
  stages.merge(std::move(made.taps));
}

void attend(const karat_attend_args& args) {
  const auto heads = std::make_shared<const Heads>(args.input);
  const cases::Case of =
      cases::make_case(required(args.recipe, "recipe")->recipe, heads, given_mask(args));
  require_output_type(args);
  const cases::InputShape& shape = of.shape();
  const auto steps = steps_of(args.progress, args.context);
  cases::Together together(shape.batch * shape.heads, steps);
  const std::string taps = args.stages == nullptr || args.taps == nullptr ? "none" : args.taps;
  files::TensorFile stages{.tensors = {},
                           .metadata = cases::describe(of.recipe, shape.grid, shape.text)};
  const auto visit = [&](const cases::HeadAtWork& work) -> cases::Delivery {
    const attention::HeadResult result =
        attention::attend(of.recipe, work.layout, work.operands,
                          {.threads = work.threads,
                           .tapped = cases::parse_taps(taps, work.layout, 0),
                           .progress = work.at_once == 1 ? steps : together.steps(work.number)});
    // Places of the caller's that are this head's alone.
    if (args.o != nullptr)
      put_rows(cases::encoded(result.o, attention::output_format(of.recipe),
                              {shape.tokens(), shape.channels}),
               *heads, shape.heads, work.batch, work.head, args.o);
    put(args.lse, work.number, result.lse);
    put(args.m, work.number, result.m);
    put(args.l, work.number, result.l);
    if (args.stages == nullptr) return {};
    const auto made = std::make_shared<HeadTensors>(stages_of(of.recipe, shape, work, result));
    return [&, made] { append(stages.tensors, shape, std::move(*made)); };
  };
  cases::compute_heads(of, {.threads = args.threads, .visit_bytes = cases::tap_bytes(of, taps)},
                       visit);
  if (args.stages != nullptr) *args.stages = handed_out(std::move(stages));
}

using Steps = std::function<void(std::size_t, std::size_t)>;

void truth(const recipe::Recipe& recipe, const karat_heads& input, attention::OracleMask mask,
           int threads, double* o, double* lse, const Steps& progress) {
  const cases::Case of = cases::make_case(recipe, std::make_shared<const Heads>(input));
  std::vector<std::int32_t> tokens(of.shape().tokens());
  std::iota(tokens.begin(), tokens.end(), 0);
  const cases::HeadLoop loop{.threads = threads, .needs = cases::HeadNeeds::values};
  cases::Together together(of.shape().batch * of.shape().heads, progress);
  cases::compute_heads(of, loop, [&](const cases::HeadAtWork& work) -> cases::Delivery {
    const attention::OracleResult result =
        attention::oracle(work.layout, work.values, tokens, mask, work.threads,
                          work.at_once == 1 ? progress : together.steps(work.number));
    if (o != nullptr) std::ranges::copy(result.o, o + work.number * result.o.size());
    if (lse != nullptr) std::ranges::copy(result.lse, lse + work.number * result.lse.size());
    return {};
  });
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_attend(const karat_attend_args* args, karat_error* error) {
  return c::guarded(error, [&] {
    c::require_size(c::required(args, "args")->size, sizeof *args, "karat_attend_args");
    c::attend(*args);
  });
}

karat_status karat_truth(const karat_recipe* recipe, const karat_heads* input, int sparse,
                         int32_t threads, double* o, double* lse, karat_progress progress,
                         void* context, karat_error* error) {
  return c::guarded(error, [&] {
    c::truth(c::required(recipe, "recipe")->recipe, *c::required(input, "input"),
             sparse != 0 ? attention::OracleMask::sparse : attention::OracleMask::dense, threads, o,
             lse, c::steps_of(progress, context));
  });
}
